/**
 * Every route and every gRPC method, asked with every kind of key for another tenant's things. What
 * is registered and has no rule here fails: a new route says whom it answers before it is merged.
 */
import { Client, credentials, Metadata, status as Status, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadProtos, serviceOf } from "../../actors/adapters/grpc/protos.ts";
import {
  KINDS,
  openIsolation,
  STRANGERS,
  type Isolation,
  type Kind,
  type Tenant,
} from "./isolation.fixture.ts";
import { METHODS, MORE, ROUTES, type Asked, type Rule } from "./isolation-rules.fixture.ts";

let world: Isolation;
beforeAll(async () => {
  world = await openIsolation();
  const settled = async (is: () => Promise<boolean>) =>
    vi.waitFor(async () => expect(await is()).toBe(true), { timeout: 30_000 });
  for (const { impression } of [world.a, world.b])
    await settled(async () => (await world.ask("admin", "GET", `/v1/clicks/${impression}`)).status === 200);
  // The list of ads is ClickHouse's copy of the catalogue.
  await settled(async () =>
    (await world.ask("admin", "GET", "/v1/ads?limit=1000")).body.includes(world.b.ad),
  );
  await settled(async () => (await world.ask("expired", "GET", "/v1/whoami")).status === 401);
}, 90_000);
afterAll(() => world.close());

const registered = (): string[] => [
  ...new Set(
    world.local.routes
      .map(({ method, url }) => `${method === "HEAD" ? "GET" : method} ${url}`)
      .filter((route) => !route.startsWith("OPTIONS")),
  ),
];

function allowed(rule: Rule): readonly Kind[] {
  const known = KINDS.filter((kind) => !STRANGERS.includes(kind));
  if (rule === "public") return KINDS;
  if (rule === "any") return known;
  if (rule === "admin") return ["admin"];
  if (rule === "placement") return ["placement", "placementA", "admin"];
  return ["readA", "readB", "admin"];
}

/** Those to whom tenant B's things do not exist. */
const BOUNDED: readonly Kind[] = ["readA", "placementA"];

const idsOf = ({ advertiser, campaign, ad, impression }: Tenant) => [advertiser, campaign, ad, impression];
const withoutIds = (text: string, of: Tenant) =>
  idsOf(of).reduce((rest, id) => rest.replaceAll(id, "(id)"), text);

async function walk(route: string, { rule, path, body }: Asked): Promise<string[]> {
  const [method, url] = route.split(" ") as [string, string];
  const ask = (kind: Kind, of: Tenant) => world.ask(kind, method, path?.(of) ?? url, body?.(of));
  const faults: string[] = [];
  for (const kind of KINDS) {
    const answer = await ask(kind, world.b);
    const said = `${route} with ${kind}: ${answer.status} ${answer.body.slice(0, 120)}`;
    if (answer.status >= 500 && url !== "/readyz") faults.push(said);
    else if (rule === "public" ? [401, 403].includes(answer.status) : false) faults.push(said);
    else if (!allowed(rule).includes(kind)) {
      const wanted = STRANGERS.includes(kind) ? 401 : 403;
      const nobodys = await ask(kind, world.nobody);
      if (answer.status !== wanted) faults.push(`${said}, not ${wanted}`);
      // A refusal, too, tells nothing of what there is.
      if (withoutIds(nobodys.body, world.nobody) !== withoutIds(answer.body, world.b))
        faults.push(`${said}, and of nobody's thing ${nobodys.body}`);
    } else if (BOUNDED.includes(kind) && (rule === "read" || rule === "placement")) {
      const nobodys = await ask(kind, world.nobody);
      if (answer.status !== 404 || nobodys.status !== 404) faults.push(`${said}, not 404`);
      if (withoutIds(nobodys.body, world.nobody) !== withoutIds(answer.body, world.b))
        faults.push(`${said}, but of nobody's thing ${nobodys.body}`);
      const own = await ask(kind, world.a);
      if (own.status >= 400) faults.push(`${said}, and of its own ${own.status} ${own.body}`);
    } else if (rule === "list") {
      if (answer.status !== 200) faults.push(said);
      const seen = idsOf(world.b).filter((id) => answer.body.includes(id));
      if (kind === "readA" && seen.length > 0) faults.push(`${said} has ${seen.join()}`);
    } else if (rule !== "public" && [401, 403].includes(answer.status)) faults.push(said);
    else if ((rule === "read" || rule === "placement") && answer.status >= 400) faults.push(said);
  }
  return faults;
}

describe("HTTP", () => {
  test("every registered route has a rule", () => {
    expect(registered().filter((route) => ROUTES[route] === undefined)).toEqual([]);
    expect(registered().length).toBeGreaterThan(15);
  });

  test("every route answers every kind of key as its rule says, of another's things as of nobody's", async () => {
    const known = registered();
    const asked = [...Object.entries(ROUTES), ...MORE].filter(([route]) =>
      known.includes(route.split(" ").slice(0, 2).join(" ")),
    );
    const faults = await Promise.all(asked.map(([route, how]) => walk(route, how)));
    expect(faults.flat()).toEqual([]);
  }, 120_000);

  test("what was refused, and what was changed, is in the audit log", async () => {
    const { body } = await world.ask("admin", "GET", "/v1/audit?limit=1000");
    const { entries } = JSON.parse(body) as { entries: Record<string, unknown>[] };
    const has = (wanted: object) => expect(entries).toContainEqual(expect.objectContaining(wanted));
    has({ key_name: "admin", method: "POST", route: "/v1/keys", status: "201", outcome: "done" });
    has({ key_name: "admin", method: "DELETE", route: "/v1/keys/:key_id", status: "204", outcome: "done" });
    has({ key_name: "readA", method: "POST", route: "/v1/ads", status: "403", outcome: "refused" });
    has({ key_id: null, method: "GET", route: "/v1/keys", status: "401", outcome: "refused" });
    expect(body).not.toContain("adk_");
  });
});

describe("a shared report", () => {
  const share = async (key: string, query: object, rest: object = {}) =>
    world.ask({ key }, "POST", "/v1/reports/shares", { query, ...rest });
  const linkOf = ({ body }: { body: string }) => {
    const { url } = JSON.parse(body) as { url: string };
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1\/reports\/shared\?s=[\w-]+$/);
    return url.slice(world.local.url.length);
  };

  test("is read without a key, is that report alone, and dies with the key that shared it", async () => {
    const terms = { name: "sharer", scopes: ["read"], advertisers: [world.a.advertiser] };
    const { key, keyId } = await world.makeKey(terms);
    const query = { ad_id: world.a.ad, from: "-1h", granularity: "total" };
    const link = linkOf(await share(key, query));
    const read = () => world.ask("none", "GET", link);
    const direct = await world.ask({ key }, "GET", `/v1/reports?${new URLSearchParams(query)}`);
    const { rows, total } = JSON.parse((await read()).body) as { rows: object[]; total: { clicks: number } };
    expect(total).toEqual((JSON.parse(direct.body) as { total: object }).total);
    expect([total.clicks, rows.length]).toEqual([1, 1]);
    expect((await world.ask("none", "GET", `${link}&format=csv`)).body).toContain("clicks");
    // Nothing else: no other question, no other route, no key.
    expect((await world.ask("none", "GET", `${link}&ad_id=${world.b.ad}`)).status).toBe(400);
    const token = link.split("s=")[1]!;
    expect((await world.ask({ key: token }, "GET", "/v1/whoami")).status).toBe(401);
    expect((await world.ask("none", "GET", `/v1/ads/${world.a.ad}?s=${token}`)).status).toBe(401);
    const changed = link.slice(0, -1) + (link.endsWith("A") ? "B" : "A");
    const dead = await world.ask("none", "GET", changed);
    expect(dead.status).toBe(404);
    await world.ask("admin", "DELETE", `/v1/keys/${keyId}`);
    expect(await read()).toEqual(dead);
  });

  test("cannot be of what its maker may not see, of no report, or for ever", async () => {
    const { key } = await world.makeKey({ name: "a", scopes: ["read"], advertisers: [world.a.advertiser] });
    for (const [status, query, rest] of [
      [404, { ad_id: world.b.ad }, {}],
      [404, { ad_id: world.nobody.ad }, {}],
      [400, { granularity: "1y" }, {}],
      [400, { nonsense: "1" }, {}],
      [400, {}, { expires_in: 1 }],
      [400, {}, { expires_in: 1e9 }],
    ] as const)
      expect([query, rest, (await share(key, query, rest)).status]).toEqual([query, rest, status]);
  });
});

/** Text that would end a string, a statement or a comment, if any of it reached one. */
const INJECTIONS = [
  "1 OR 1=1",
  "1' OR '1'='1",
  '1" OR "1"="1',
  "1; DROP TABLE adtally.click_counts",
  "1) UNION ALL SELECT 1,2,3 --",
  "1/**/OR/**/1",
  "'; SELECT sleep(3) --",
  "\\'; SELECT 1 --",
  "{x:UInt64}",
  "0x31",
  "１",
  "' || toString(1) || '",
  "`ad_id`",
];
/** Parameters that are no question of ClickHouse's, and are refused as what they are. */
const OTHERWISE: Readonly<Record<string, number>> = { s: 404, ad: 404, digest: 404, name: 404 };
/** What else a route needs, so that it is the parameter in question that is refused. */
const BESIDES: Readonly<Record<string, string>> = { "/v1/reports/clicks": "ad_id=1" };

interface Operation {
  readonly parameters?: readonly { name: string; in: string; schema: { type?: string } }[];
}

describe("SQL in parameters", () => {
  test("of the query and the path of every route is refused by the parameter's name", async () => {
    const { paths } = JSON.parse((await world.ask("admin", "GET", "/openapi.json")).body) as {
      paths: Record<string, Record<string, Operation>>;
    };
    const shared = await world.ask("admin", "POST", "/v1/reports/shares", { query: { ad_id: world.a.ad } });
    const { url } = JSON.parse(shared.body) as { url: string };
    const besidesOf = { ...BESIDES, "/v1/reports/shared": url.split("?")[1]! };
    let asked = 0;
    const faults: string[] = [];
    for (const [route, operations] of Object.entries(paths))
      for (const [method, { parameters = [] }] of Object.entries(operations))
        for (const { name, in: where, schema } of parameters) {
          if ((where !== "query" && where !== "path") || schema.type !== "string") continue;
          for (const injection of INJECTIONS) {
            const written = encodeURIComponent(injection);
            const besides = (besidesOf as Readonly<Record<string, string>>)[route] ?? "";
            const query = besides.startsWith(`${name}=`) ? "" : besides;
            const path =
              where === "path"
                ? route.replace(`{${name}}`, written)
                : `${route.replaceAll(/\{\w+\}/g, "1")}?${query}&${name}=${written}`;
            const { status, body } = await world.ask("admin", method.toUpperCase(), path);
            asked += 1;
            const { detail } = JSON.parse(body) as { detail?: string };
            const named = detail?.includes(name) === true || detail?.includes(`"${injection}"`) === true;
            if (status !== (OTHERWISE[name] ?? 400) || (status === 400 && !named))
              faults.push(`${method} ${path}: ${status} ${detail}`);
          }
        }
    expect(faults).toEqual([]);
    expect(asked).toBeGreaterThan(150);
  }, 120_000);

  const ad = {
    ad_id: "940000001",
    campaign_id: "1",
    advertiser_id: "1",
    destination_url: "https://a.example/",
  };
  test.each([
    ["/v1/ads", "ad_id", ad],
    ["/v1/ads", "campaign_id", ad],
    ["/v1/ads", "advertiser_id", ad],
    ["/v1/ads", "destination_url", ad],
    ["/v1/impressions", "ad_id", {}],
    ["/v1/keys", "scopes", { name: "x", scopes: ["submit"] }],
    ["/v1/keys", "advertisers", { name: "x", scopes: ["read"] }],
    ["/v1/keys", "expires_at", { name: "x", scopes: ["submit"] }],
  ])("of a body is refused by the field's name: %s %s", async (path, field, rest) => {
    for (const injection of INJECTIONS) {
      const value = field === "scopes" ? [injection] : injection;
      const { status, body } = await world.ask("admin", "POST", path, { ...rest, [field]: value });
      expect([injection, status]).toEqual([injection, 400]);
      expect((JSON.parse(body) as { detail: string }).detail).toContain(field);
    }
  });

  test("in free text is text: a title comes back as it was written, from ClickHouse too", async () => {
    for (const [n, title] of INJECTIONS.entries()) {
      const mine = { ...ad, ad_id: String(940_000_100 + n), campaign_id: "9400", title };
      expect((await world.ask("admin", "POST", "/v1/ads", mine)).status).toBe(201);
    }
    const listed = async () => {
      const { body } = await world.ask("admin", "GET", "/v1/ads?campaign_id=9400");
      return (JSON.parse(body) as { ads: { title: string }[] }).ads.map(({ title }) => title);
    };
    await expect.poll(listed, { timeout: 30_000 }).toEqual(INJECTIONS);
  });
});

describe("gRPC", () => {
  const protos = loadProtos();
  const methods = Object.keys(protos).flatMap((full) => {
    const name = full.replace("adtally.v1.", "");
    return "format" in protos[full]!
      ? []
      : Object.keys(serviceOf(protos, name)).map((each) => `${name}/${each}`);
  });
  let client: Client;
  beforeAll(() => void (client = new Client(world.local.grpcAddress, credentials.createInsecure())));
  afterAll(() => client.close());

  /** The code of a call, and what it answered, whatever kind of call it is. */
  function call(method: string, kind: Kind, request: object): Promise<{ code: Status; answer?: object }> {
    const [service, name] = method.split("/") as [string, string];
    const { path, requestSerialize, responseDeserialize } = serviceOf(protos, service)[name]!;
    const metadata = new Metadata();
    const authorization = world.authorization(kind);
    if (authorization !== undefined) metadata.set("authorization", authorization);
    const deadline = { deadline: Date.now() + 20_000 };
    return new Promise((resolve) => {
      let answer: object | undefined;
      // One message each way is what a plain call is on the wire.
      const stream = client.makeBidiStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        metadata,
        deadline,
      );
      stream.on("data", (data: object) => {
        answer = data;
        // A stream without an end of its own has shown enough.
        if (method === "LiveService/WatchClicks") stream.cancel();
      });
      stream.on("error", (error: ServiceError) => {
        const isShown = answer !== undefined && error.code === Status.CANCELLED;
        resolve({ code: isShown ? Status.OK : error.code, ...(answer && { answer }) });
      });
      stream.on("end", () => resolve({ code: Status.OK, ...(answer && { answer }) }));
      stream.write(request);
      stream.end();
    });
  }

  test("every method of every service has a rule", () => {
    expect(methods.filter((method) => METHODS[method] === undefined)).toEqual([]);
  });

  const uuid = (text: string) => Buffer.from(text.replaceAll("-", ""), "hex");
  const requestOf = (method: string): object => {
    const click = { clickId: uuid(world.nobody.impression), adId: world.b.ad };
    if (method.startsWith("PlacementService")) return { adId: world.b.ad, count: 1 };
    if (method.endsWith("StreamClicks")) return { batchId: "1", clicks: [click] };
    return method.endsWith("SubmitClicks") ? { clicks: [click] } : { click };
  };

  test.each(methods)("%s answers every kind of key as its rule says", async (method) => {
    const rule = METHODS[method]!;
    const served = (await call(method, "admin", requestOf(method))).code !== Status.UNIMPLEMENTED;
    if (rule !== "read") expect(served).toBe(rule !== "not served");
    const got: Record<string, Status> = {};
    const wanted: Record<string, Status> = {};
    for (const kind of KINDS) {
      const { answer, code } = await call(method, kind, requestOf(method));
      got[kind] = code;
      if (rule === "open" && code === Status.OK) {
        // Without the scope a click id counts nothing: it is refused as anybody's.
        const isTrusted = !JSON.stringify(answer).includes("REASON_CLIENT_NOT_TRUSTED");
        expect([kind, isTrusted]).toEqual([kind, kind === "submit" || kind === "admin"]);
      }
      wanted[kind] = served ? codeFor(rule, kind) : Status.UNIMPLEMENTED;
    }
    // Of what a read answers to those who may ask, its own tests speak; here, that others may not.
    if (rule === "read" && served)
      for (const kind of allowed("read")) {
        expect([Status.UNAUTHENTICATED, Status.PERMISSION_DENIED]).not.toContain(got[kind]);
        delete got[kind];
        delete wanted[kind];
      }
    expect(got).toEqual(wanted);
  });

  function codeFor(rule: string, kind: Kind): Status {
    if (rule === "open" && kind === "none") return Status.OK;
    if (STRANGERS.includes(kind)) return Status.UNAUTHENTICATED;
    if (rule === "open") return Status.OK;
    if (!allowed(rule as Rule).includes(kind)) return Status.PERMISSION_DENIED;
    return BOUNDED.includes(kind) ? Status.NOT_FOUND : Status.OK;
  }
});
