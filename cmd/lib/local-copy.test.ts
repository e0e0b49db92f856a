import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createMemoryKeyedLog } from "../../actors/adapters/memory/memory-keyed-log.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { keyRecord } from "../../actors/keys/api-key.ts";
import { createReplicatedKeys } from "../../actors/keys/replicated.ts";
import { systemClock as clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { openLocalCopy } from "./local-copy.ts";

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-copy-"));
  file = join(dir, "routing.copy.json");
});
// A copy that is being saved as a test ends may still put its file there.
afterEach(() => rm(dir, { recursive: true, maxRetries: 10, retryDelay: 20 }));

function heard() {
  const errors: Record<string, unknown>[] = [];
  const none = () => undefined;
  const logger: Logger = {
    debug: none,
    info: none,
    warn: none,
    error: (fields) => void errors.push({ ...fields }),
  };
  return { logger, errors };
}

describe("a copy of a document", () => {
  test("Y2 comes back as it was saved last, and only its owner may read it", async () => {
    const { logger } = heard();
    const copy = await openLocalCopy(file, logger);
    expect(copy.text).toBeUndefined();
    await Promise.all([copy.save('{"a":1}'), copy.save('{"a":2,"5":["x"]}')]);
    expect(JSON.parse((await openLocalCopy(file, logger)).text!)).toEqual({ a: 2, 5: ["x"] });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test("fault 12: every flipped bit of a copy is found: set aside by name, and there is none", async () => {
    const { logger } = heard();
    await (await openLocalCopy(file, logger)).save('{"version":3,"hosts":{"a":"127.0.0.1:7070"}}');
    const good = await readFile(file);
    const meant = (await openLocalCopy(file, logger)).text;
    let found = 0;
    for (let bit = 0; bit < good.length * 8; bit += 3) {
      const bytes = Buffer.from(good);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      await writeFile(file, bytes);
      const { errors, logger: each } = heard();
      const { text } = await openLocalCopy(file, each);
      // White space may change, and an escape be another spelling: what is said is what was meant.
      if (text === undefined) {
        found += 1;
        expect(errors).toMatchObject([{ copy: file, setAsideAs: `${file}.set-aside` }]);
      } else expect(text).toBe(meant);
    }
    expect(found).toBeGreaterThan(good.length);
  });
});

describe("API keys with a copy", () => {
  const limits = {
    ...DEFAULT_LIMITS,
    replicaFollowIntervalMs: 10,
    reconnectMaxMs: 30,
    catalogueDeadlineMs: 500,
  };
  const open = async (log: ReturnType<typeof createMemoryKeyedLog>, logger = heard().logger) => {
    const copy = await openLocalCopy(file, logger);
    return createReplicatedKeys({ log, copy, onRemoved: () => undefined, limits, clock, logger });
  };
  const [kept, removed] = [keyRecord("adk_x", "ci", ["submit"], 5), keyRecord("adk_y", "old", ["admin"], 6)];

  /** A log with a key and one that was removed, and the copy of a gateway that saw both. */
  async function leftBehind() {
    const log = createMemoryKeyedLog();
    const keys = await open(log);
    await keys.replica.ready();
    await keys.add(kept);
    await keys.add(removed);
    expect(await keys.remove(removed.keyId)).toBe(true);
    await keys.replica.stop();
    return log;
  }

  test("Z4 knows them with the log gone, and never again one that it removed", async () => {
    const log = await leftBehind();
    log.setDown(true);
    const again = await open(log);
    expect(again.find(kept.digest)).toEqual(kept);
    expect(again.find(removed.digest)).toBeUndefined();
    expect(again.replica.status()).toMatchObject({ isWhole: true, isReady: false });
    log.setDown(false);
    await again.replica.ready();
    await again.add(removed);
    expect(again.find(removed.digest)).toBeUndefined();
    await again.replica.stop();
  });

  test("Z4 obeys a removal that was made while it was away, once the log is back", async () => {
    const log = await leftBehind();
    const bare = createReplicatedKeys({
      log,
      onRemoved: () => undefined,
      limits,
      clock,
      logger: heard().logger,
    });
    await bare.replica.ready();
    await bare.remove(kept.keyId);
    await bare.replica.stop();
    log.setDown(true);
    const again = await open(log);
    expect(again.find(kept.digest)).toEqual(kept);
    log.setDown(false);
    await again.replica.ready();
    expect(again.find(kept.digest)).toBeUndefined();
    await again.replica.stop();
  });

  test("P5 made from another log: set aside by name, and its keys are none", async () => {
    await leftBehind();
    const { logger, errors } = heard();
    const again = await open(createMemoryKeyedLog(), logger);
    await again.replica.ready();
    expect(again.list()).toEqual([]);
    expect(errors).toMatchObject([
      { copy: file, why: expect.stringContaining("another API keys log") as string },
    ]);
    await again.replica.stop();
  });
});
