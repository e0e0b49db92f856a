/** Clicks over gRPC inside k6: one connection a virtual user, calls with a deadline. */
import grpc from "k6/net/grpc";
import { account, latency, sent } from "./click.ts";
import { grpcAddress, key } from "./traffic.ts";

const CALL_DEADLINE = "20s";
const OK: readonly string[] = ["VERDICT_ACCEPTED", "VERDICT_DUPLICATE", "VERDICT_DEFERRED"];
const metadata = { authorization: `Bearer ${key}` };

const client = new grpc.Client();
client.load([`${import.meta.resolve("../../../proto").replace("file://", "")}`], "adtally/v1/click.proto");
let connected = false;

function connect(): void {
  if (connected) return;
  client.connect(grpcAddress, { plaintext: true, timeout: CALL_DEADLINE });
  connected = true;
}

/** SubmitClick: one click a call. */
export function submitClick(token: string): void {
  connect();
  sent.add(1);
  const startedAt = Date.now();
  const response = client.invoke(
    "adtally.v1.ClickService/SubmitClick",
    { click: { token } },
    { metadata, timeout: CALL_DEADLINE, tags: { name: "SubmitClick" } },
  );
  latency.add(Date.now() - startedAt);
  if (response.status !== grpc.StatusOK) account(1, "unanswered");
  else {
    const { verdict } = response.message as unknown as { readonly verdict: string };
    account(1, OK.includes(verdict) ? "acked" : "refused");
  }
}

interface BatchResult {
  readonly batchId: string;
  readonly verdicts?: readonly string[];
}

/** StreamClicks: the batches over one stream, all under way at once; resolves when it has ended. */
export function streamClicks(batches: readonly (readonly string[])[]): Promise<void> {
  connect();
  const startedAt = Date.now();
  const waiting = new Map(batches.map((batch, i) => [String(i + 1), batch.length]));
  return new Promise((resolve) => {
    const stream = new grpc.Stream(client, "adtally.v1.ClickService/StreamClicks", {
      metadata,
      tags: { name: "StreamClicks" },
    });
    const end = () => {
      for (const clicks of waiting.values()) account(clicks, "unanswered");
      waiting.clear();
      resolve();
    };
    stream.on("data", (data) => {
      const { batchId, verdicts = [] } = data as BatchResult;
      const clicks = waiting.get(batchId) ?? 0;
      waiting.delete(batchId);
      latency.add(Date.now() - startedAt);
      const taken = verdicts.filter((verdict) => OK.includes(verdict)).length;
      account(taken, "acked");
      account(clicks - taken, "refused");
      if (waiting.size === 0) stream.end();
    });
    stream.on("error", end);
    stream.on("end", end);
    for (const [i, batch] of batches.entries()) {
      sent.add(batch.length);
      stream.write({ batchId: i + 1, clicks: batch.map((token) => ({ token })) });
    }
  });
}
