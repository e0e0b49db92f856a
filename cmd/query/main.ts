/** `node cmd/query/main.ts --help`: the query service. */
import { runProgram } from "../lib/program.ts";
import { querySpec } from "./config.ts";
import { startQuery } from "./start.ts";

await runProgram(querySpec, startQuery);
