/**
 * What can be known to be wrong before anything is started: the data folder, and the addresses to
 * listen on. The real open and the real listen still judge for themselves.
 */
import { once } from "node:events";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import { listenError, type ListenAttempt } from "../../actors/runtime/listen-error.ts";
import type { LocalConfig } from "./config.ts";

/** Makes the folder where it is missing, and proves that it takes files. @throws CONFIG_INVALID */
export async function prepareDataDir(dir: string): Promise<void> {
  try {
    await makeFolder(dir);
    const probe = join(dir, `.probe-${process.pid}`);
    await (await open(probe, "w", 0o600)).close();
    await rm(probe);
  } catch (error) {
    const isFile = (await stat(dir).catch(() => undefined))?.isDirectory() === false;
    const why = isFile ? "it is a file, not a folder" : `it takes no files (${messageOf(error)})`;
    throw new AdtallyError(
      "CONFIG_INVALID",
      `the data folder ${dir} cannot be used: ${why}. Choose another with --data-dir`,
      { cause: error },
    );
  }
}

/** Not mkdir's own recursion: in a file system that makes no folders, such as /proc, that never ends. */
async function makeFolder(dir: string): Promise<void> {
  const make = () => mkdir(dir, { mode: 0o700 });
  try {
    await make();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(dir) === dir) throw error;
    await makeFolder(dirname(dir));
    await make();
  }
}

/** @throws PORT_IN_USE, CONFIG_INVALID */
export async function assertAddresses(
  at: Pick<LocalConfig, "host" | "httpPort" | "grpcPort">,
): Promise<void> {
  const { host, httpPort, grpcPort } = at;
  await assertCanListen({ what: "HTTP", host, port: httpPort, portFlag: "--http-port" });
  await assertCanListen({ what: "gRPC", host, port: grpcPort, portFlag: "--grpc-port" });
}

/** @throws PORT_IN_USE, CONFIG_INVALID */
export async function assertCanListen(attempt: ListenAttempt): Promise<void> {
  const server = createServer();
  try {
    server.listen(attempt.port, attempt.host);
    await once(server, "listening");
  } catch (error) {
    throw listenError(attempt, error as NodeJS.ErrnoException);
  }
  server.close();
  await once(server, "close");
}
