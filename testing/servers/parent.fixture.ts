/** A program that starts a server, says its pid, and is killed. */
import { startProcess } from "./process.ts";

const server = await startProcess({
  name: "a server",
  command: "sleep",
  args: ["1000"],
  isReady: () => true,
  readyMs: 1_000,
});
process.stdout.write(`${server.pid}\n`);
setInterval(() => undefined, 1_000);
