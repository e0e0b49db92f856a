/** A process that loads ads 1 to COUNT from the replica in FOLDER: `node read-all.fixture.ts FOLDER COUNT`. */
import { join } from "node:path";
import { openRocksCatalogueReplica } from "../adapters/rocksdb/catalogue-replica.ts";
import { silentLogger } from "../runtime/log.ts";

const [dir = "", count = ""] = process.argv.slice(2);
const store = await openRocksCatalogueReplica({
  dir: join(dir, "catalogue"),
  cacheAds: 1,
  logger: silentLogger,
});
await store.load(Array.from({ length: Number(count) }, (_, n) => n + 1));
await store.close();
