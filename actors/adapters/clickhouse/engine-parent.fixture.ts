/** A program that starts the engine and waits to be killed: says the engine's pid to its parent. */
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { startEngine } from "./engine-process.ts";

const engine = await startEngine({
  dataDir: process.argv[2]!,
  port: 0,
  clock: systemClock,
  logger: silentLogger,
});
process.send?.(engine.pid());
