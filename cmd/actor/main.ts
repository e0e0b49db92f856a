/** `node cmd/actor/main.ts --help`: an actor host. */
import { runProgram } from "../lib/program.ts";
import { startActor } from "./actor.ts";
import { actorSpec } from "./config.ts";

await runProgram(actorSpec, startActor);
