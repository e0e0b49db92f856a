/**
 * Runs a command of this project on the Node that package.json pins, after installing what is
 * missing:  node scripts/bootstrap.mjs COMMAND [ARGUMENT…]
 *
 * Every npm script starts here, so this file alone runs on whatever Node the machine has, from
 * version 16 on. What the command gets: node_modules/.bin first on its PATH, its arguments, this
 * terminal; what comes back: its exit code.
 *
 *  B1 Nothing is installed while node_modules agrees with package-lock.json.
 *  B2 Of several runs at once one installs, the others wait for it.
 *  B3 A signal reaches the command once.
 */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, "node_modules");
const bin = path.join(modules, ".bin");
const lockFile = path.join(root, "package-lock.json");
const cacheFolder = path.join(root, ".cache");
const holdFile = path.join(cacheFolder, "install.pid");
const windows = process.platform === "win32";
const POLL_MS = 200;
const REPORT_MS = 10_000;
const REPEATED_SIGNAL_MS = 1_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`adtally: ${error.message}\n`);
  process.exitCode = 1;
});

async function main([command, ...args]) {
  if (!isInstalled()) await installOnce();
  if (command !== undefined) process.exitCode = await run(command, args);
}

/** npm leaves in node_modules/.package-lock.json what it has really put there, once it is done. */
function isInstalled() {
  if (!fs.existsSync(path.join(bin, windows ? "node.cmd" : "node"))) return false;
  const installed = readPackages(path.join(modules, ".package-lock.json"));
  if (installed === undefined) return false;
  const wanted = readPackages(lockFile);
  if (wanted === undefined) return true;
  return Object.entries(wanted).every(([folder, { version, optional, peer }]) => {
    if (folder === "") return true;
    const there = installed[folder];
    return there === undefined ? Boolean(optional || peer) : there.version === version;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")).packages;
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw new Error(`${path.relative(root, file)} cannot be read: ${error.message}`);
  }
}

async function installOnce() {
  fs.mkdirSync(cacheFolder, { recursive: true });
  let waitedFor;
  for (let holder = takeHold(); holder !== process.pid; holder = takeHold()) {
    if (holder === undefined) continue;
    if (holder !== waitedFor) {
      const file = path.relative(root, holdFile);
      process.stderr.write(
        `adtally: waiting for process ${holder} to finish installing (if it does not install, remove ${file}) …\n`,
      );
    }
    waitedFor = holder;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  try {
    if (!isInstalled()) await install();
  } finally {
    fs.rmSync(holdFile, { force: true });
  }
  if (!isInstalled()) {
    throw new Error(
      "npm finished, but node_modules is not complete (were install scripts refused?). " +
        "Remove node_modules and start again; `npm ci` shows npm's own messages.",
    );
  }
}

/** The process that may install: this one, another, or undefined where another has just let go. */
function takeHold() {
  const own = `${holdFile}.${process.pid}`;
  try {
    // A link appears whole or not at all, and never over another.
    fs.writeFileSync(own, String(process.pid));
    fs.linkSync(own, holdFile);
    return process.pid;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  } finally {
    fs.rmSync(own, { force: true });
  }
  const holder = readHolder();
  if (holder === undefined || isAlive(holder)) return holder;
  fs.rmSync(holdFile, { force: true });
  return undefined;
}

function readHolder() {
  try {
    return Number(fs.readFileSync(holdFile, "utf8")) || undefined;
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

async function install() {
  const started = Date.now();
  // An existing folder is brought up to date in place, so that programs running from it go on.
  const action = !fs.existsSync(lockFile)
    ? ["install"]
    : fs.existsSync(modules)
      ? ["install", "--no-save"]
      : ["ci"];
  const [npm, ...before] = npmCommand();
  process.stderr.write(`adtally: installing dependencies (npm ${action.join(" ")}; about 1 GB on disk) …\n`);
  const child = spawn(npm, [...before, ...action, "--no-audit", "--no-fund"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    shell: windows,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const stopReporting = reportElapsed(started);
  let interrupted = false;
  const code = await exitOf(child, () => (interrupted = true));
  stopReporting();
  if (interrupted) throw new Error("the installation was interrupted; start again to finish it");
  if (code !== 0) {
    process.stderr.write(output);
    throw new Error(
      `npm ${action.join(" ")} failed with code ${code}; its output stands above. Mend that and start again.`,
    );
  }
  process.stderr.write(`adtally: installed in ${seconds(started)} s\n`);
}

/** The npm that runs this script where there is one: it may not be on the PATH. */
function npmCommand() {
  const running = process.env.npm_execpath;
  const isNpm = running !== undefined && /^npm(-cli)?\.c?js$/.test(path.basename(running));
  return isNpm ? [process.execPath, running] : ["npm"];
}

function reportElapsed(started) {
  const terminal = process.stderr.isTTY;
  const timer = setInterval(
    () =>
      process.stderr.write(
        terminal ? `\radtally: ${seconds(started)} s ` : `adtally: installing, ${seconds(started)} s\n`,
      ),
    terminal ? 1_000 : REPORT_MS,
  );
  return () => {
    clearInterval(timer);
    if (terminal) process.stderr.write("\r");
  };
}

function seconds(started) {
  return Math.round((Date.now() - started) / 1_000);
}

function run(command, args) {
  const child = spawn(command, args, {
    stdio: "inherit",
    env: { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH ?? ""}` },
    shell: windows,
  });
  // Ctrl-C goes to every process of the terminal's foreground, the command included: passed on,
  // it would arrive twice. A lone SIGINT to this process, in a terminal, is taken for a Ctrl-C.
  return exitOf(child, (signal) => signal !== "SIGINT" || !process.stdin.isTTY);
}

/** Waits for the child and passes signals on to it where `passesOn` says so. */
function exitOf(child, passesOn) {
  const lastAt = new Map();
  const onSignal = (signal) => {
    // npm repeats to its child what the terminal has sent already.
    const now = Date.now();
    const repeated = now - (lastAt.get(signal) ?? -Infinity) < REPEATED_SIGNAL_MS;
    lastAt.set(signal, now);
    if (!repeated && passesOn(signal)) child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(new Error(`cannot run ${child.spawnfile}: ${error.message}`)));
    child.on("exit", (code, signal) => {
      for (const each of SIGNALS) process.removeListener(each, onSignal);
      resolve(code ?? 128 + os.constants.signals[signal]);
    });
  });
}
