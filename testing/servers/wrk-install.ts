/** wrk, the HTTP load generator: the one on the PATH, or Debian's, unpacked into the cache. */
import { reportToStderr, type Report } from "./cache.ts";
import { debianProgramLacks, installDebianProgram, type InstalledProgram } from "./debian-package.ts";

const WRK = { what: "wrk", package: "wrk", command: "wrk", folder: "wrk-debian" };

export const wrkLacks = (): Promise<string | undefined> => debianProgramLacks(WRK);

export const installWrk = (report: Report = reportToStderr): Promise<InstalledProgram> =>
  installDebianProgram(WRK, report);
