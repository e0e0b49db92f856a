/** Adtally's own programs, each asked as anyone may ask it: ready, of which version, by which clock. */
import { messageOf } from "../../../actors/core/errors.ts";
import { PROGRAM_VERSION } from "../../lib/program.ts";
import type { Context } from "../command.ts";
import { Failure } from "../failure.ts";
import { createService, type Service } from "../http.ts";
import { failed, ok, skewFinding, skipped, warning, type Finding } from "./finding.ts";

const SECOND_MS = 1_000;

/** `Date` is in whole seconds: it stands for any time within its second. */
function clockOf(check: string, date: string | null, beforeMs: number, afterMs: number): Finding | undefined {
  const theirsMs = Date.parse(date ?? "");
  return Number.isNaN(theirsMs) ? undefined : skewFinding(check, theirsMs, beforeMs - SECOND_MS, afterMs);
}

async function readiness(service: Service, check: string, context: Context): Promise<readonly Finding[]> {
  const beforeMs = context.clock.now();
  const answer = await service.open("/readyz");
  const text = await answer.text();
  const skew = clockOf(check, answer.headers.get("date"), beforeMs, context.clock.now());
  const also = skew === undefined ? [] : [skew];
  if (answer.ok) return also;
  let detail = `answers ${answer.status} at /readyz`;
  let isOurs = false;
  try {
    const problem = JSON.parse(text) as { detail?: unknown; code?: unknown };
    isOurs = problem.code === "NOT_READY";
    if (typeof problem.detail === "string") detail = problem.detail;
  } catch {
    // Another server's page.
  }
  const remedy = isOurs
    ? "what it waits for is named: see that part below, and the program's log"
    : `is ${service.url} adtally's ${service.name}?`;
  return [failed(check, detail, remedy), ...also];
}

async function versionOf(service: Service): Promise<string | undefined> {
  const document = await service.ask<{ info?: { title?: unknown; version?: unknown } }>(
    "GET",
    "/openapi.json",
  );
  const { title, version } = document.info ?? {};
  return title === "adtally" && typeof version === "string" ? version : undefined;
}

/** A failure's own words, with its remedy. */
const told = (check: string, error: unknown): Finding =>
  error instanceof Failure
    ? failed(
        check,
        `${error.message}${error.where === undefined ? "" : `: ${error.where}`}`,
        error.remedy ?? "see its log",
      )
    : failed(check, messageOf(error), "see its log");

async function program(
  check: string,
  service: Service,
  context: Context,
  hasApi: boolean,
): Promise<readonly Finding[]> {
  try {
    const faults = await readiness(service, check, context);
    const version = hasApi ? await versionOf(service) : undefined;
    if (hasApi && version === undefined)
      return [...faults, failed(check, `${service.url} is not adtally's`, "see --url and --query-url")];
    const other =
      version === undefined || version === PROGRAM_VERSION
        ? []
        : [
            warning(
              check,
              `is version ${version}, this command line ${PROGRAM_VERSION}`,
              "use the command line of the same version",
            ),
          ];
    const isFailed = faults.some(({ status }) => status === "failed");
    const shown = version === undefined ? service.url : `${service.url}, version ${version}`;
    return isFailed ? [...faults, ...other] : [ok(check, `ready at ${shown}`), ...faults, ...other];
  } catch (error) {
    return [told(check, error)];
  }
}

interface Holder {
  readonly key_id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly advertisers: "all" | readonly string[];
}

async function key({ config, gateway }: Context): Promise<readonly Finding[]> {
  if (config.key === undefined)
    return [
      warning(
        "key",
        "there is none",
        "give --key-file or ADTALLY_KEY: without, only open reports can be read",
      ),
    ];
  try {
    const { advertisers, name, scopes } = await gateway.ask<Holder>("GET", "/v1/whoami");
    const whose = advertisers === "all" ? "all advertisers" : `advertisers ${advertisers.join(", ")}`;
    return [ok("key", `is "${name}": ${scopes.join(", ")}, of ${whose}`)];
  } catch (error) {
    // That nobody answers is the gateway's finding.
    if (error instanceof Failure && error.code === "UNREACHABLE") return [];
    return [told("key", error)];
  }
}

interface Shard {
  readonly shard: number;
  readonly host: string | null;
  readonly in_use: boolean;
  readonly lag_blocks: number | null;
}

async function shards({ query }: Context): Promise<readonly Finding[]> {
  try {
    const { shards: all } = await query.ask<{ shards: readonly Shard[] }>("GET", "/v1/shards");
    const names = (of: readonly Shard[]) => of.map(({ shard }) => shard).join(", ");
    const orphans = all.filter(({ host, in_use: inUse }) => inUse && host === null);
    const unknown = all.filter(({ lag_blocks: lag }) => lag === null);
    const findings: Finding[] = [];
    if (orphans.length > 0)
      findings.push(
        failed(
          "shards",
          `nobody owns ${names(orphans)}`,
          "npm run assign publishes an assignment; the operator does it on Kubernetes",
        ),
      );
    if (unknown.length > 0)
      findings.push(
        warning(
          "shards",
          `the lag of ${unknown.length} is not known`,
          "the log or ClickHouse does not answer the query service",
        ),
      );
    if (findings.length > 0) return findings;
    const lag = all.reduce((sum, each) => sum + (each.lag_blocks ?? 0), 0);
    return [ok("shards", `${all.length}, all owned; reports lack ${lag} blocks`)];
  } catch (error) {
    // Without an admin's key, or the query service, that has been said.
    if (
      error instanceof Failure &&
      ["PERMISSION_DENIED", "UNAUTHENTICATED", "UNREACHABLE"].includes(error.code)
    )
      return [];
    return [told("shards", error)];
  }
}

export async function checkPrograms(context: Context): Promise<readonly Finding[]> {
  const { config, gateway, query } = context;
  const { actorUrls, timeoutSeconds } = config;
  const actors = (actorUrls ?? []).map((url) => {
    const service = createService({
      name: "actor host",
      url,
      key: undefined,
      timeoutMs: timeoutSeconds * 1_000,
      flag: "--actor-urls",
    });
    return program(`host ${new URL(url).host}`, service, context, false);
  });
  const isOne = gateway.url === query.url;
  const found = await Promise.all([
    program(isOne ? "gateway and query" : "gateway", gateway, context, true),
    isOne ? [] : program("query", query, context, true),
    key(context),
    shards(context),
    ...actors,
  ]);
  const none =
    actorUrls === undefined && !isOne
      ? [skipped("actor hosts", "--actor-urls http://HOST:ADMIN_PORT,…")]
      : [];
  return [...found.flat(), ...none];
}
