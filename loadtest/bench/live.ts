/**
 * What live counts cost an actor host, a click: node loadtest/bench/live.ts [--quick] [--json]
 * Blocks of 250 clicks, 40 a second and shard, as at 10,000 clicks a second on one shard; the
 * messages are made and thrown away.
 */
import { makeBlock, type LogRecord } from "../../actors/block/block.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { Verdict } from "../../actors/core/verdict.ts";
import { createLivePublisher } from "../../actors/live/publisher.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { rowsOf } from "../../actors/sim/clicks.ts";
import { seededRandom } from "../../actors/sim/random.ts";
import { createBench } from "../lib/microbench.ts";

const CALLS = 2_000_000;
const ROWS = 250;
const BLOCKS = 80;
const BLOCK_MS = 25;
const BEGIN_MS = 1_760_000_000_000;

const random = seededRandom(1);
const bench = createBench("live", "a click");
const outcomes = new Uint8Array(ROWS * 2).fill(Verdict.ACCEPTED);

for (const ads of [1, 100, 10_000]) {
  const blocks = Array.from({ length: BLOCKS }, () => {
    const clicks = Array.from({ length: ROWS }, () => ({
      id: Buffer.alloc(16),
      adId: 1 + random.below(ads),
      clickMs: 0,
      receivedMs: 0,
    }));
    const header = { epoch: 1, writer: 1, sequence: 1, rowCount: ROWS, appendTimeMs: 0, sourceOffset: -1 };
    return makeBlock(header, rowsOf(clicks, 0));
  });
  let nowMs = BEGIN_MS;
  let offset = 0;
  let messages = 0;
  // Slots end when the next one begins, so timers need not run.
  const clock = {
    now: () => nowMs,
    monotonic: () => nowMs,
    after: () => ({ cancel: () => undefined }),
    every: () => ({ cancel: () => undefined }),
  };
  const bus = {
    newest: async () => null,
    async append() {
      messages += 1;
      return true;
    },
  };
  const publisher = createLivePublisher({ bus, limits: DEFAULT_LIMITS, clock, logger: silentLogger });
  const fold = (): void => {
    const { header, value } = blocks[offset % BLOCKS]!;
    const record: LogRecord = { header: { ...header, appendTimeMs: nowMs }, value, offset };
    publisher.folded(0, 1, record, outcomes);
    offset += 1;
    nowMs += BLOCK_MS;
  };
  fold();
  await new Promise((resolve) => setImmediate(resolve));
  bench.measure(`${ads.toLocaleString("en")} ${ads === 1 ? "ad" : "ads"}`, CALLS, (calls) => {
    for (let call = 0; call < calls; call += ROWS) fold();
    return messages + publisher.lost;
  });
}
bench.print();
