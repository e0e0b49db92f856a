/** How long each route of the API takes, and how it ends. */
import type { FastifyInstance } from "fastify";
import type { Family, Histogram, Metrics } from "../../runtime/metrics.ts";

const UNMATCHED = "unmatched";
const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Labels = { readonly route: readonly string[]; readonly status: typeof CLASSES };

/** The routes are a closed set too, known once all plugins are registered. */
export function measureRequests(app: FastifyInstance, metrics: Metrics): void {
  const routes = new Set<string>([UNMATCHED]);
  let durations: Family<Labels, Histogram> | undefined;
  app.addHook("onRoute", (route) => void routes.add(route.url));
  app.addHook("onReady", async () => {
    durations = metrics.histogram({
      name: "adtally_http_request_duration_seconds",
      help: "From a request's headers to the end of its answer, by route and class of status.",
      labels: { route: [...routes], status: CLASSES },
      buckets: BUCKETS_S,
    });
  });
  app.addHook("onResponse", async (request, reply) => {
    const status = CLASSES[Math.floor(reply.statusCode / 100) - 1] ?? "5xx";
    const route = request.routeOptions.url ?? UNMATCHED;
    durations?.of({ route, status }).observe(reply.elapsedTime / 1_000);
  });
}
