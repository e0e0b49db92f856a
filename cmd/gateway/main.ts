/** `node cmd/gateway/main.ts --help`: a gateway. */
import { runProgram } from "../lib/program.ts";
import { gatewaySpec } from "./config.ts";
import { startGateway } from "./start.ts";

await runProgram(gatewaySpec, startGateway);
