/** `npm run cluster`: starts everything, shows how it is, stops it in order on q or Ctrl-C. */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../actors/core/errors.ts";
import { isPortFree } from "../../testing/servers/process.ts";
import { PROGRAM_VERSION } from "../lib/program.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { readConfig, type ClusterConfig } from "./config.ts";
import { createReader } from "./read.ts";
import { createReviver } from "./revive.ts";
import { renderLine, renderScreen } from "./screen.ts";
import { statusOf, type Reading } from "./status.ts";
import { openTerminal } from "./terminal.ts";

const REDRAW_MS = 1_000;
const LINE_MS = 5_000;
const USUAL = { http: 8_080, grpc: 9_090, query: 8_070 };

const config = readConfig(process.argv.slice(2), PROGRAM_VERSION);
const startedAt = performance.now();
const upMs = () => performance.now() - startedAt;
const say = (line: string) => void process.stdout.write(`${line}\n`);

/** The usual ports are a convenience: where one is taken, any other does. */
async function usualPort(given: number | undefined, usual: number, count: number): Promise<number> {
  if (given !== undefined) return given;
  const wanted = Array.from({ length: count }, (_, i) => isPortFree(usual + i));
  return (await Promise.all(wanted)).includes(false) ? 0 : usual;
}

function start({ dataDir, openReports, logLevel, tls, ...rest }: ClusterConfig): Promise<Cluster> {
  const { gateways, actors, shards } = rest;
  const progress = (what: string) => say(`  ${what} (${(upMs() / 1_000).toFixed(1)} s)`);
  const ports = async () => ({
    http: await usualPort(rest.httpPort, USUAL.http, gateways),
    grpc: await usualPort(rest.grpcPort, USUAL.grpc, gateways),
    query: await usualPort(rest.queryPort, USUAL.query, 1),
    broker: rest.brokerPort ?? 0,
    redis: rest.redisPort ?? 0,
    engine: rest.clickhousePort ?? 0,
  });
  const options = { dir: dataDir, gateways, actors, shards, openReports, logLevel, tls, progress };
  return ports().then((chosen) => startCluster({ ...options, ports: chosen }));
}

function placesOf({ gateways, query, broker, redis, engine }: Cluster): ReadonlyMap<string, string> {
  return new Map([
    ...gateways.map(({ name, url, grpcAddress }): [string, string] => [name, `${url}  gRPC ${grpcAddress}`]),
    ...[query, broker, redis, engine].map(({ name, url }): [string, string] => [name, url]),
  ]);
}

/** Lines to paste into a shell: an ad, an impression, a click at the other gateway, the report. */
function firstClick({ dir, gateways, query, secured }: Cluster): readonly string[] {
  const [first, second = first] = gateways;
  const within = path.relative(process.cwd(), dir);
  const here = within.startsWith("..") ? dir : within || ".";
  const trust = secured === undefined ? [] : [`  export CURL_CA_BUNDLE=${here}/tls/ca.crt`];
  const headers = '-H "Authorization: Bearer $KEY" -H "$JSON"';
  const other = first === second ? "" : ` | sed s/:${first!.httpPort}/:${second!.httpPort}/`;
  return [
    "A first click, counted once:",
    ...trust,
    `  KEY=$(cat ${here}/admin-key) JSON='Content-Type: application/json'`,
    `  curl -s ${first!.url}/v1/ads ${headers} -d '{"ad_id":"1","title":"Shoes",`,
    '    "campaign_id":"1","advertiser_id":"1","destination_url":"https://example.com/"}\'',
    `  URL=$(curl -s ${first!.url}/v1/impressions ${headers} \\`,
    `    -d '{"ad_id":"1"}' | grep -o 'http[^"]*/click?i=[^"]*'${other})`,
    '  curl -si "$URL" | head -1; sleep 1',
    `  curl -s "${query.url}/v1/reports/clicks?ad_id=1&granularity=1h"`,
    `Logs in ${here}/logs, settings of all programs in ${here}/adtally.yaml; q or Ctrl-C stops everything.`,
  ];
}

const terminal = openTerminal();
const stopAsked = Promise.withResolvers<string>();
let isUp = false;
const onStop = (why: string) => {
  if (isUp) return stopAsked.resolve(why);
  // The processes end with this one; none of them has answered anyone yet.
  terminal.close();
  say(`${why}: stopped while starting`);
  process.exit(1);
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => onStop(signal));
terminal.onKey((key) => {
  if (key === "q" || key === "Q" || key === "\u0003") onStop(key === "\u0003" ? "Ctrl-C" : "q");
});

try {
  const cluster = await start(config);
  isUp = true;
  const places = placesOf(cluster);
  const footer = firstClick(cluster);
  say(`adtally cluster ready in ${(upMs() / 1_000).toFixed(1)} s`);
  for (const [name, place] of places) say(`  ${name.padEnd(12)} ${place}`);
  for (const line of footer) say(line);

  const reader = createReader(cluster);
  const reviver = createReviver(cluster.members);
  let before: Reading | undefined;
  let ended: string | undefined;
  const asked = stopAsked.promise.then((why) => (ended = why));
  const periodMs = terminal.size() === undefined ? LINE_MS : REDRAW_MS;
  while (ended === undefined) {
    const reading = await reader.read();
    const scene = { status: statusOf(reading, before, cluster.shards), upMs: upMs(), places, footer };
    before = reading;
    reviver.look();
    const size = terminal.size();
    if (size === undefined) say(renderLine(scene));
    else terminal.draw(renderScreen(scene, size));
    await Promise.race([sleep(periodMs, undefined, { ref: false }), asked]);
  }
  reviver.stop();
  terminal.close();
  say(`${ended}: stopping the gateways, then what stands behind them`);
  await Promise.all([reader.close(), cluster.stopAll()]);
  for (const { name, exitCode, logFile } of cluster.members) {
    if (exitCode !== null && exitCode > 0) say(`  ${name} ended with ${exitCode}: see ${logFile}`);
  }
  say("stopped; nothing is lost");
  process.exit(0);
} catch (error) {
  terminal.close();
  process.stderr.write(`the cluster cannot start: ${messageOf(error)}\n`);
  process.exit(1);
}
