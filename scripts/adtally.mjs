#!/usr/bin/env node
/** `npx adtally`: the command line (cmd/adtally) on the Node that the project pins, whatever Node this is. */
import { fileURLToPath } from "node:url";

process.argv.splice(2, 0, "node", fileURLToPath(new URL("../cmd/adtally/main.ts", import.meta.url)));
await import("./bootstrap.mjs");
