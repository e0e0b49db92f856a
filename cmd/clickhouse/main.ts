/**
 * The embedded ClickHouse: the real engine in a process of its own, on a local HTTP port.
 *
 * Started by hand it prints its address; started by engine-process.ts it also tells its parent
 * over IPC, and ends at once when that parent does. SIGTERM drains.
 */
import { writeFileSync } from "node:fs";
import os from "node:os";
import { Command } from "commander";
import { defaultEngineLimits } from "../../actors/adapters/clickhouse/engine/limits.ts";
import { startEngineServer } from "../../actors/adapters/clickhouse/engine/engine.ts";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { tuneCollector } from "../../actors/runtime/heap.ts";

tuneCollector();

/**
 * What answers browsers goes first on the same cores: an insert that waits for some milliseconds is
 * queryable all the same. At this priority a third of a share is left to the engine: it cannot starve.
 */
const PRIORITY_BELOW_CLICKS = 5;

/** For this process, of which the engine's threads inherit it, so before there are any; and for its session. */
function stepBack(): void {
  os.setPriority(PRIORITY_BELOW_CLICKS);
  try {
    // Where Linux weighs sessions first, a priority counts within its own alone; elsewhere there is no such file.
    writeFileSync("/proc/self/autogroup", String(PRIORITY_BELOW_CLICKS));
  } catch {
    // Then it weighs processes, and all is said.
  }
}
stepBack();

// Each running query holds a thread of libuv's pool, which is sized at its first use.
process.env["UV_THREADPOOL_SIZE"] ??= String(defaultEngineLimits.maxRunning + 4);

const { port, dataDir } = new Command("adtally-clickhouse")
  .description("The embedded ClickHouse engine behind ClickHouse's HTTP interface on 127.0.0.1")
  .option("--port <port>", "port to listen on; 0 picks a free one", "8123")
  .option("--data-dir <folder>", "folder of the engine's data", ".adtally/clickhouse")
  .parse()
  .opts<{ port: string; dataDir: string }>();

async function main(): Promise<void> {
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535)
    throw new Error(`--port ${port} is not a port number`);
  const engine = await startEngineServer({
    dataDir,
    port: Number(port),
    limits: defaultEngineLimits,
    clock: systemClock,
    onFatal: (reason) => {
      console.error(`adtally-clickhouse: the engine has failed: ${reason}`);
      process.exit(1);
    },
  });
  let ending = false;
  const end = () => {
    if (ending) return;
    ending = true;
    engine.drain().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on("SIGTERM", end);
  // The parent is gone, and with it everyone who could be answered; its successor waits for the
  // data folder. What was acknowledged is in the files, so nothing is gained by ending slowly.
  process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
  // Ctrl-C goes to the whole process group; under a parent, the parent decides when to end.
  process.on("SIGINT", () => {
    if (process.send === undefined) end();
  });
  console.log(`clickhouse ready http://127.0.0.1:${engine.port} version ${engine.version}`);
  process.send?.({ ready: true, port: engine.port, version: engine.version });
}

main().catch((error: unknown) => {
  const code = isAdtallyError(error) ? `${error.code}: ` : "";
  console.error(`adtally-clickhouse: ${code}${messageOf(error)}`);
  if (process.send === undefined) process.exit(1);
  else
    process.send(
      { failed: isAdtallyError(error) ? error.code : "UNEXPECTED", message: messageOf(error) },
      () => process.exit(1),
    );
});
