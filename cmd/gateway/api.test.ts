import { describe, expect, test } from "vitest";
import { AdtallyError } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { Reason } from "../../actors/core/verdict.ts";
import { createMemoryCatalogue } from "../../actors/adapters/memory/memory-catalogue.ts";
import { ADMIN, PLACEMENT, createTestApi } from "./api.fixture.ts";

const boots = {
  ad_id: "1001",
  campaign_id: "11",
  advertiser_id: "1",
  destination_url: "https://shop.example/boots",
  title: "Boots",
};

type Response = Awaited<ReturnType<Awaited<ReturnType<typeof createTestApi>>["app"]["inject"]>>;

/** Every refusal has this form. */
function expectProblem(response: Response, status: number, code: string, detail = "") {
  expect(response.statusCode, response.body).toBe(status);
  expect(response.headers["content-type"]).toBe("application/problem+json");
  const body = response.json<{ detail: string; stack?: unknown }>();
  expect(body).toMatchObject({ type: "about:blank", status, code, title: expect.any(String) });
  expect(body.detail).toContain(detail);
  expect(response.body).not.toContain(".ts:");
}

describe("POST and GET /v1/ads", () => {
  test("201 and its place for a new ad, 200 for an update, and both can be read", async () => {
    const { app } = await createTestApi();
    const post = (payload: object) => app.inject({ method: "POST", url: "/v1/ads", headers: ADMIN, payload });

    const created = await post({ ...boots, destination_url: "HTTPS://Shop.example/boots" });
    expect([created.statusCode, created.headers["location"]]).toEqual([201, "/v1/ads/1001"]);
    expect(created.json()).toEqual(boots);
    const updated = await post({ ...boots, title: "Boots and shoes" });
    expect([updated.statusCode, updated.headers["location"]]).toEqual([200, undefined]);

    const read = await app.inject({ url: "/v1/ads/1001", headers: ADMIN });
    expect([read.statusCode, read.json()]).toEqual([200, { ...boots, title: "Boots and shoes" }]);
  });

  test("409 for another owner, 400 naming all fields at fault, 404 for what is not there", async () => {
    const { app, catalogue } = await createTestApi();
    const post = (payload: object) => app.inject({ method: "POST", url: "/v1/ads", headers: ADMIN, payload });
    await post(boots);
    expectProblem(await post({ ...boots, campaign_id: "12" }), 409, "CATALOGUE_CONFLICT", "ad 1001 belongs");
    const bad = await post({ ...boots, ad_id: 1001, destination_url: "javascript:alert(1)", colour: "red" });
    expectProblem(bad, 400, "INPUT_INVALID", "destination_url must be absolute");
    expect(bad.json<{ errors: { field: string }[] }>().errors.map(({ field }) => field)).toEqual([
      "colour",
      "ad_id",
      "destination_url",
    ]);
    expect(catalogue.peek(1001)?.destinationUrl).toBe(boots.destination_url);

    expectProblem(await app.inject({ url: "/v1/ads/7", headers: ADMIN }), 404, "NOT_FOUND", "ad 7 ");
    for (const id of ["x", "-1", "01", "18446744073709551616", "1%00"]) {
      const read = await app.inject({ url: `/v1/ads/${id}`, headers: ADMIN });
      expect([id, read.statusCode]).toEqual([id, 400]);
    }
  });
});

describe("POST /v1/impressions", () => {
  const withBoots = async () => {
    const api = await createTestApi();
    await api.app.inject({ method: "POST", url: "/v1/ads", headers: ADMIN, payload: boots });
    const post = (payload: unknown) =>
      api.app.inject({
        method: "POST",
        url: "/v1/impressions",
        headers: { ...PLACEMENT, "content-type": "application/json" },
        payload: JSON.stringify(payload),
      });
    return { ...api, post };
  };

  test("gives as many signed impressions as asked for", async () => {
    const { post, codec } = await withBoots();
    const response = await post({ ad_id: "1001", count: 3 });
    expect(response.statusCode).toBe(200);
    const { impressions } = response.json<{ impressions: Record<string, string>[] }>();
    expect(impressions).toHaveLength(3);
    for (const each of impressions) {
      expect(Object.keys(each)).toEqual(["impression_id", "token", "click_url", "expires_at"]);
      const token = Buffer.alloc(44);
      expect(codec.decodeText(each["token"]!, token)).toBe(Reason.NONE);
      expect(codec.verify(token)).toBe(Reason.NONE);
      expect(each["click_url"]).toBe(`http://127.0.0.1:8080/click?i=${each["token"]}`);
      expect(each["expires_at"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      const livesMs = Date.parse(each["expires_at"]!) - Date.now();
      expect(Math.abs(livesMs - DEFAULT_LIMITS.tokenLifeMs)).toBeLessThan(10_000);
    }
    expect((await post({ ad_id: "1001" })).json<{ impressions: [] }>().impressions).toHaveLength(1);
  });

  test.each([
    [{ ad_id: 1001 }, "ad_id must be a text in quotes"],
    [{ ad_id: "x" }, "ad_id must be an unsigned"],
    [{ ad_id: "1001", count: 0 }, "count must be 1 or more"],
    [{ ad_id: "1001", count: 10_001 }, "count must be 10000 or less"],
    [{ ad_id: "1001", count: "3" }, "count must be a whole number"],
    [{ ad_id: "1001", count: 1.5 }, "count must be a whole number"],
    [{ count: 1 }, "ad_id is missing"],
    [{ ad_id: "1001", x: 1 }, "x is not a field"],
    [null, "body must be a JSON object"],
    [[], "body must be a JSON object"],
  ])("refuses %j by the field", async (payload, detail) => {
    const { post } = await withBoots();
    expectProblem(await post(payload), 400, "INPUT_INVALID", detail);
  });

  test("404 for an ad that is not in the catalogue", async () => {
    const { post } = await withBoots();
    expectProblem(await post({ ad_id: "7" }), 404, "NOT_FOUND", "ad 7 is not in the catalogue");
  });
});

describe("keys", () => {
  test("401 without or with an unknown key, 403 with too small a one, before the body is read", async () => {
    const { app } = await createTestApi();
    const post = (headers: Record<string, string>) =>
      app.inject({
        method: "POST",
        url: "/v1/ads",
        headers: { ...headers, "content-type": "application/json" },
        payload: "{",
      });
    const none = await post({});
    expectProblem(none, 401, "UNAUTHENTICATED", 'scope "admin"');
    expect(none.headers["www-authenticate"]).toBe('Bearer realm="adtally"');
    for (const authorization of ["Bearer nope", "Basic YWRtaW4=", "Bearer", "admin-key", ""]) {
      const wrong = await post({ authorization });
      expectProblem(wrong, 401, "UNAUTHENTICATED", "not known");
      expect(wrong.headers["www-authenticate"]).toContain("invalid_token");
    }
    const small = await post(PLACEMENT);
    expectProblem(small, 403, "PERMISSION_DENIED", 'lacks the scope "admin"');
    expect(small.headers["www-authenticate"]).toContain('scope="admin"');
  });

  test("a caller without a key has the anonymous scopes, one with a wrong key nothing", async () => {
    const { app, requireScope } = await createTestApi({ anonymousScopes: ["read"] });
    app.get("/report", { onRequest: requireScope("read") }, async (request) => request.principal);
    app.get("/submit", { onRequest: requireScope("submit") }, async () => "no");
    expect((await app.inject("/report")).json()).toMatchObject({ name: "anonymous" });
    expectProblem(await app.inject("/submit"), 401, "UNAUTHENTICATED");
    const wrong = await app.inject({ url: "/report", headers: { authorization: "Bearer nope" } });
    expectProblem(wrong, 401, "UNAUTHENTICATED");
  });
});

describe("bad input is a problem document, never a 5xx (faults 24, 26)", () => {
  const post = async (body: string | Buffer, headers: Record<string, string> = {}) => {
    const { app } = await createTestApi();
    return app.inject({
      method: "POST",
      url: "/v1/impressions",
      headers: { ...PLACEMENT, "content-type": "application/json", ...headers },
      payload: body,
    });
  };

  test("a body that is not JSON, not UTF-8, empty, too large, or of another type", async () => {
    expectProblem(await post('{"ad_id":'), 400, "BODY_NOT_JSON", "the body is not JSON");
    expectProblem(await post('{"ad_id":"1\u0000"}'), 400, "BODY_NOT_JSON");
    expectProblem(await post('{"ad_id":"1\\u0000"}'), 400, "INPUT_INVALID", "ad_id");
    expectProblem(await post(Buffer.from('{"ad_id":"\u00ff"}', "latin1")), 400, "BODY_NOT_UTF8");
    expectProblem(await post(""), 400, "BODY_NOT_JSON");
    const large = JSON.stringify({ ad_id: "1".repeat(DEFAULT_LIMITS.httpBodyMaxBytes) });
    expectProblem(await post(large), 413, "BODY_TOO_LARGE");
    expectProblem(await post("<ad/>", { "content-type": "application/xml" }), 415, "MEDIA_TYPE_UNSUPPORTED");
    expectProblem(await post("{}", { "content-type": "nonsense" }), 415, "MEDIA_TYPE_UNSUPPORTED");
    const polluted = await post('{"ad_id":"1","__proto__":{"count":9}}');
    expectProblem(polluted, 400, "INPUT_INVALID", "__proto__");
  });

  test.each([
    ["/nowhere", 404, "ROUTE_NOT_FOUND"],
    ["/v1/ads/1?x=%00", 400, "URL_MALFORMED"],
    ["/v1/ads/1?x=%ff", 400, "URL_MALFORMED"],
    ["/v1/ads/1?x=%", 400, "URL_MALFORMED"],
    ["/v1/ads/%ff", 400, "URL_MALFORMED"],
    ["/v1/ads/%zz", 400, "URL_MALFORMED"],
    [`/v1/ads/${"1".repeat(129)}`, 404, "ROUTE_NOT_FOUND"],
    ["//v1/ads/1", 404, "ROUTE_NOT_FOUND"],
  ])("GET %s is %i %s", async (url, status, code) => {
    const { app } = await createTestApi();
    expectProblem(await app.inject({ url, headers: ADMIN }), status, code);
  });

  test("a method that no route takes is 404", async () => {
    const { app } = await createTestApi();
    expectProblem(await app.inject({ method: "DELETE", url: "/v1/ads" }), 404, "ROUTE_NOT_FOUND", "DELETE");
  });
});

describe("our own failures", () => {
  test("503 with Retry-After for what may pass, without the inside of it, and logged", async () => {
    const logged: object[] = [];
    const catalogue = {
      ...createMemoryCatalogue(),
      load: async () => {
        throw new AdtallyError("CATALOGUE_UNAVAILABLE", "catalogue: /data/secret is gone", {
          retryAfterMs: 1_500,
        });
      },
    };
    const logger = { debug() {}, info() {}, warn() {}, error: (fields: object) => void logged.push(fields) };
    const { app } = await createTestApi({ catalogue, logger });
    const response = await app.inject({ url: "/v1/ads/1", headers: ADMIN });
    expectProblem(response, 503, "CATALOGUE_UNAVAILABLE", "try again in 2 s");
    expect(response.headers["retry-after"]).toBe("2");
    expect(response.body).not.toContain("secret");
    expect(logged).toHaveLength(1);
  });

  test("500 says nothing of an unknown error", async () => {
    const { app } = await createTestApi();
    app.get("/broken", async () => {
      throw Object.assign(new Error("secret"), { statusCode: 418 });
    });
    const response = await app.inject("/broken");
    expectProblem(response, 500, "INTERNAL");
    expect(response.body).not.toContain("secret");
  });
});

describe("system routes", () => {
  test("healthz, readyz by name, metrics, openapi", async () => {
    let waitingFor = ["shard 2: replaying the log"];
    const { app } = await createTestApi({ readiness: () => waitingFor });
    expect((await app.inject("/healthz")).json()).toEqual({ status: "ok" });
    expect((await app.inject("/startupz")).json()).toEqual({ status: "up" });
    expectProblem(await app.inject("/readyz"), 503, "NOT_READY", "shard 2: replaying the log");
    waitingFor = [];
    expect((await app.inject("/readyz")).json()).toEqual({ status: "ready" });
    await app.inject({ url: "/nowhere" });

    const metrics = await app.inject("/metrics");
    expect(metrics.headers["content-type"]).toContain("text/plain");
    expect(metrics.body).toMatch(/duration_seconds_count\{route="\/readyz",status="5xx"\} 1/);
    expect(metrics.body).toMatch(/duration_seconds_count\{route="unmatched",status="4xx"\} 1/);
    expect(metrics.body).toMatch(/duration_seconds_count\{route="\/v1\/ads\/:ad_id",status="2xx"\} 0/);

    const openapi = (await app.inject("/openapi.json")).json<{
      openapi: string;
      paths: Record<string, Record<string, { security?: object[]; requestBody?: object }>>;
    }>();
    expect(openapi.openapi).toBe("3.1.0");
    expect(Object.keys(openapi.paths).toSorted()).toEqual([
      "/healthz",
      "/metrics",
      "/readyz",
      "/startupz",
      "/v1/ads",
      "/v1/ads/import",
      "/v1/ads/{ad_id}",
      "/v1/impressions",
    ]);
    expect(openapi.paths["/v1/ads"]!["post"]!.security).toEqual([{ key: [] }]);
    expect(JSON.stringify(openapi.paths["/v1/ads"]!["post"]!.requestBody)).toContain("destination_url");
  });
});
