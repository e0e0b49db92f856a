/** `node cmd/ingest/main.ts --help`: the raw ingester. */
import { runProgram } from "../lib/program.ts";
import { ingestSpec } from "./config.ts";
import { startIngest } from "./ingest.ts";

await runProgram(ingestSpec, startIngest);
