/**
 * node testing/servers/install.ts: the servers that tests, load tests and the cluster on one
 * machine need, into .cache/servers. Each says what it lacks; any of them fails the whole.
 */
import { installChromium } from "./chromium.ts";
import { installKafka } from "./kafka-install.ts";
import { installK6 } from "./k6-install.ts";
import { installRedis } from "./redis.ts";
import { installWrk } from "./wrk-install.ts";

const results = [
  ...(await Promise.allSettled([installKafka(), installRedis(), installK6(), installWrk()])),
  // By itself: apt-get installs for one at a time.
  ...(await Promise.allSettled([installChromium()])),
];
for (const result of results) {
  if (result.status === "rejected") {
    const why = result.reason instanceof Error ? result.reason.message : String(result.reason);
    process.stderr.write(`adtally: ${why}\n`);
    process.exitCode = 1;
  }
}
