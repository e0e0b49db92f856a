/** `node cmd/operator/main.ts --help`: the operator for Kubernetes. */
import { runProgram } from "../lib/program.ts";
import { operatorSpec } from "./config.ts";
import { startOperatorProgram } from "./operator.ts";

await runProgram(operatorSpec, startOperatorProgram);
