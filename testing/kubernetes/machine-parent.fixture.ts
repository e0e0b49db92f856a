/** A program that starts a node's machine, says so, and is killed: its arguments are the folders. */
import { startMachine } from "./node-machine.ts";

const [dir = "", packages = ""] = process.argv.slice(2);
const network = {
  device: `adtally${process.pid}`,
  hostAddress: "198.18.254.1",
  address: "198.18.254.2",
  routes: [],
};
const machine = await startMachine({ dir, name: "adtally-machine", packages, network });
await machine.start({
  name: "a program",
  command: "sh",
  args: ["-c", `while :; do sleep 1; done; echo ${dir}`],
  isReady: () => true,
  readyMs: 1_000,
});
process.stdout.write("started\n");
setInterval(() => undefined, 1_000);
