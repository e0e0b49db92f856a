/**
 * Chromium for tests in a real browser: the one on the PATH, or Debian's package, installed by
 * apt-get. Not unpacked into the cache as other programs are: it looks for its parts where they belong.
 */
import { reportToStderr, type Report } from "./cache.ts";
import { hasCommand, runCommand } from "./command.ts";

/** Another apt-get of the machine may be at work. */
const LOCK_S = 120;
const NAMES = ["chromium", "chromium-browser", "google-chrome"] as const;

async function onPath(): Promise<string | undefined> {
  for (const name of NAMES) {
    const found = await runCommand("sh", ["-c", 'command -v "$0"', name]).catch(() => "");
    if (found.trim() !== "") return found.trim();
  }
  return undefined;
}

/** Where its executable is. @throws Error that says what is missing */
export async function installChromium(report: Report = reportToStderr): Promise<string> {
  const there = await onPath();
  if (there !== undefined) return there;
  if (process.getuid?.() !== 0 || !(await hasCommand("apt-get", "--version")))
    throw new Error(
      "chromium is missing, and apt-get, as root, to install it: install Chromium, then start again",
    );
  report("installing Chromium (apt-get install chromium) …");
  await runCommand("apt-get", ["update", "-qq"]);
  const how = ["-y", "-qq", "--no-install-recommends", "-o", `DPkg::Lock::Timeout=${LOCK_S}`];
  await runCommand("apt-get", ["install", ...how, "chromium", "fonts-dejavu-core"]);
  const installed = await onPath();
  if (installed === undefined) throw new Error("apt-get installed no program that is called chromium");
  return installed;
}
