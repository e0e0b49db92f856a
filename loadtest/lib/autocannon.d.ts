/** What we use of autocannon, which ships no types. */
declare module "autocannon" {
  export interface Request {
    path?: string;
    readonly headers?: Readonly<Record<string, string>>;
  }
  export interface Histogram {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly p99_9: number;
    readonly max: number;
    readonly average: number;
  }
  export interface Result {
    readonly errors: number;
    readonly timeouts: number;
    readonly non2xx: number;
    readonly statusCodeStats?: Readonly<Record<string, { readonly count: number }>>;
    readonly latency: Histogram;
    readonly requests: Histogram & { readonly total: number; readonly sent: number };
  }
  interface Options {
    readonly url: string;
    readonly connections: number;
    readonly amount: number;
    readonly requests: readonly { setupRequest(request: Request): Request }[];
  }
  const autocannon: (options: Options) => Promise<Result>;

  export { autocannon as default };
}
