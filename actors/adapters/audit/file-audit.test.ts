import { appendFile, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import type { AuditEvent } from "../../keys/audit.ts";
import { silentLogger } from "../../runtime/log.ts";
import { openFileAudit } from "./file-audit.ts";

let dir: string;
let nowMs: number;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "adtally-audit-"));
  nowMs = 1_790_000_000_000;
});
afterEach(() => rm(dir, { recursive: true }));

const open = (limits = {}, folder: string | undefined = dir) =>
  openFileAudit({
    dir: folder,
    limits: { ...DEFAULT_LIMITS, ...limits },
    clock: { now: () => nowMs },
    logger: silentLogger,
  });
const event = (change: Partial<AuditEvent> = {}): AuditEvent => ({
  keyId: "0123456789ab",
  keyName: "admin",
  method: "POST",
  route: "/v1/keys",
  path: "/v1/keys",
  status: 201,
  outcome: "done",
  ...change,
});

test("what was noted is there after a restart, the newest first, by pages", async () => {
  const first = await open();
  for (let n = 0; n < 5; n++) first.note(event({ path: `/${n}` }));
  await first.flush();
  const second = await open();
  const page = await second.list(3);
  expect(page.map(({ path: at }) => at)).toEqual(["/4", "/3", "/2"]);
  expect((await second.list(3, page.at(-1)!.id)).map(({ path: at }) => at)).toEqual(["/1", "/0"]);
});

test("G1 the files are bounded, and the newest entries are those that stay", async () => {
  const audit = await open({ auditFiles: 3, auditFileMaxBytes: 1_000 });
  for (let n = 0; n < 200; n++) {
    audit.note(event({ path: `/${n}` }));
    await audit.flush();
  }
  const files = await readdir(dir);
  expect(files.sort()).toEqual(["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]);
  for (const file of files) expect((await stat(path.join(dir, file))).size).toBeLessThanOrEqual(1_000);
  const kept = await audit.list(1_000);
  expect(kept[0]!.path).toBe("/199");
  expect(kept.map(({ id }) => id)).toEqual(kept.map(({ id }) => id).toSorted((a, b) => b - a));
});

test("G2 a flood of one refusal is a line, and the next line says how many there were", async () => {
  const audit = await open();
  const refusal = event({ keyId: undefined, status: 401, outcome: "refused" });
  for (let n = 0; n < 1_000; n++) audit.note(refusal);
  audit.note({ ...refusal, status: 403 });
  nowMs += DEFAULT_LIMITS.auditRepeatMs;
  audit.note(refusal);
  expect((await audit.list(10)).map(({ status, repeated }) => [status, repeated])).toEqual([
    [401, 999],
    [403, 0],
    [401, 0],
  ]);
});

test("a line that a crash left half is passed over", async () => {
  const audit = await open();
  audit.note(event());
  await audit.flush();
  await appendFile(path.join(dir, "audit.jsonl"), '{"id":1,"atM\n');
  expect(await (await open()).list(10)).toHaveLength(1);
});

test("without a folder the last lines are kept, bounded", async () => {
  const audit = await openFileAudit({
    dir: undefined,
    limits: { ...DEFAULT_LIMITS, auditPendingMaxLines: 3 },
    clock: { now: () => nowMs },
    logger: silentLogger,
  });
  for (let n = 0; n < 5; n++) {
    audit.note(event({ path: `/${n}` }));
    await audit.flush();
  }
  expect((await audit.list(10)).map(({ path: at }) => at)).toEqual(["/4", "/3", "/2"]);
});
