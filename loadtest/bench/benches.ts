/**
 * Every benchmark by name: a program that prints, with --json, a line of JSON for each thing that it
 * measured (lib/report.ts), and ends with 1 where what it did was not right.
 */

export interface BenchKind {
  readonly name: string;
  readonly what: string;
  /** In loadtest/. */
  readonly script: string;
  readonly args?: readonly string[];
  /** In their place with --quick: little of everything, to see that it runs. */
  readonly quickArgs?: readonly string[];
  readonly nodeArgs?: readonly string[];
  /** Of many figures, those that the table shows: their names begin so. JSON has all. */
  readonly shown?: readonly string[];
}

const QUICK = ["--quick"];
const END_TO_END = ["sent", "counted (click_counts)", "clicks a second", "batch p99", "CPU µs a click"];
const LOG = ["MB a second", "appends", "ack p50", "ack p99", "CPU µs", "read MB"];
const REDIRECTS = ["acked in all", "counted in all", "redirects a second", "latency p", "CPU µs a click"];

export const BENCHES: readonly BenchKind[] = [
  { name: "token", what: "sign, verify, encode, decode", script: "bench/token.ts", quickArgs: QUICK },
  {
    name: "route",
    what: "the shard of a click",
    script: "bench/route.ts",
    nodeArgs: ["--expose-gc"],
    quickArgs: QUICK,
  },
  { name: "dedup", what: "Bloom filter and exact index", script: "bench/dedup.ts", quickArgs: QUICK },
  { name: "dedup-load", what: "repeats at 10,000/s", script: "bench/dedup-load.ts", quickArgs: QUICK },
  { name: "window", what: "window fold", script: "bench/window.ts", quickArgs: QUICK },
  { name: "live", what: "live counts of an actor host", script: "bench/live.ts", quickArgs: QUICK },
  { name: "block", what: "block encode and decode", script: "bench/block.ts", quickArgs: QUICK },
  {
    name: "intake",
    what: "a gateway's own work on a batch",
    script: "bench/intake.ts",
    quickArgs: ["--seconds", "0.3"],
  },
  {
    name: "shard",
    what: "shard actors on the real log and store",
    script: "bench/shard.ts",
    quickArgs: ["--clicks", "100000"],
  },
  {
    name: "catalogue",
    what: "load and look-up of a million ads",
    script: "bench/catalogue.ts",
    quickArgs: ["--ads", "20000"],
  },
  {
    name: "log",
    what: "durable appends to the embedded log",
    script: "bench/log.ts",
    quickArgs: ["--seconds", "0.2"],
    shown: LOG,
  },
  {
    name: "log-kafka",
    what: "appends to Kafka, acks of all",
    script: "bench/log.ts",
    args: ["--log", "kafka"],
    quickArgs: ["--log", "kafka", "--seconds", "0.2"],
    shown: LOG,
  },
  {
    name: "clickhouse",
    what: "raw ingest and count upserts",
    script: "bench/clickhouse.ts",
    quickArgs: ["--rows", "100000", "--ads", "10000"],
  },
  {
    name: "stream-clicks",
    what: "StreamClicks to counts, embedded",
    script: "stream-clicks.ts",
    args: ["--clicks", "2000000", "--duration", "60"],
    quickArgs: ["--clicks", "100000", "--ads", "1000"],
    shown: END_TO_END,
  },
  {
    name: "stream-clicks-cluster",
    what: "StreamClicks to counts, Kafka and separate processes",
    script: "stream-clicks-cluster.ts",
    quickArgs: ["--clicks", "100000", "--ads", "1000"],
    shown: END_TO_END,
  },
  {
    name: "http-wrk",
    what: "HTTP redirects under wrk",
    script: "http-redirects.ts",
    args: ["--client", "wrk"],
    quickArgs: ["--client", "wrk", "--seconds", "2"],
    shown: REDIRECTS,
  },
  {
    name: "http-autocannon",
    what: "HTTP redirects under autocannon",
    script: "http-redirects.ts",
    args: ["--client", "autocannon"],
    quickArgs: ["--client", "autocannon", "--requests", "10000"],
    shown: REDIRECTS,
  },
  {
    name: "click-to-queryable",
    what: "how soon a click is in its advertiser's report, at 10,000 clicks a second",
    script: "click-to-queryable.ts",
    args: ["--rate", "10000", "--clicks", "100000"],
    quickArgs: ["--rate", "500", "--clicks", "1000"],
    shown: ["sent", "seen", "click to queryable", "report p99"],
  },
  {
    name: "reports",
    what: "report queries over 10 million minutes (npm run bench:reports has 300 million)",
    script: "bench-reports.ts",
    args: ["--rows", "10000000", "--ads", "500000", "--queries", "100"],
    quickArgs: ["--rows", "300000", "--ads", "10000", "--queries", "5"],
    shown: ["p50", "p99", "8 at once: p99", "engine CPU ms", "rows read"],
  },
  {
    name: "recovery",
    what: "a shard after kill -9, and with its volume lost",
    script: "recovery.ts",
    args: ["--replay", "1000000", "--ids", "10000000"],
    quickArgs: ["--replay", "50000", "--ids", "200000"],
    shown: ["killed: ms", "killed: peak", "volume lost: ms", "volume lost: peak", "clicks counted before"],
  },
  {
    name: "memory",
    what: "memory and disk a live click",
    script: "dedup-memory.ts",
    nodeArgs: ["--expose-gc"],
    quickArgs: ["--clicks", "500000"],
    shown: ["live ids", "RAM, bytes an id", "disk, bytes an id", "found as"],
  },
];
