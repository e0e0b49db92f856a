/** `adtally ads`: the catalogue. An import streams its file, and tells how far it is while it goes on. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createInterface } from "node:readline";
import type { Command } from "commander";
import { messageOf } from "../../../actors/core/errors.ts";
import { countOf, runs, textOf, type Context, type Run } from "../command.ts";
import { EXIT, Failure, usage } from "../failure.ts";
import { queryString, refusalOf, unreachable } from "../http.ts";
import { grouped, safe } from "../text/table.ts";

type Ad = Readonly<Record<"ad_id" | "campaign_id" | "advertiser_id" | "destination_url" | "title", string>>;

interface ImportReport {
  readonly lines: number;
  readonly imported: number;
  readonly rejected: number;
  readonly errors?: readonly { readonly line: number; readonly reason: string }[];
  readonly failed?: { readonly code: string; readonly detail: string };
}

const LIST_MAX = 1_000;
const SHOWN_ERRORS = 20;

export const adColumns = [
  { name: "ad" },
  { name: "campaign" },
  { name: "advertiser" },
  { name: "title" },
  { name: "destination" },
];
export const adRow = (ad: Ad): readonly string[] => [
  ad.ad_id,
  ad.campaign_id,
  ad.advertiser_id,
  safe(ad.title),
  safe(ad.destination_url),
];

export function addAds(program: Command): void {
  const ads = program
    .command("ads")
    .description("the catalogue: which ads there are, and where their clicks go");
  runs(
    ads
      .command("import")
      .description("create or update ads from a file of NDJSON, one ad a line; - reads standard input")
      .argument(
        "<file>",
        'lines such as {"ad_id":"1","campaign_id":"1","advertiser_id":"1","destination_url":"https://…"}',
      ),
    importAds,
  );
  runs(ads.command("get").description("one ad").argument("<ad-id>"), getAd);
  runs(
    ads
      .command("list")
      .description("ads in order of their ids")
      .option("--campaign <id>", "of this campaign alone")
      .option("--advertiser <id>", "of this advertiser alone")
      .option("--after <ad-id>", "those behind this one")
      .option("--limit <count>", `at the most, up to ${LIST_MAX}`, "100"),
    listAds,
  );
}

const getAd: Run = async ({ gateway, output }, _options, [id = ""]) => {
  const ad = await gateway.ask<Ad>("GET", `/v1/ads/${encodeURIComponent(id)}`).catch((error: unknown) => {
    if (error instanceof Failure && error.exitCode === EXIT.missing)
      throw new Failure(EXIT.missing, error.code, error.message, {
        where: error.where,
        remedy: "adtally ads list tells which there are",
      });
    throw error;
  });
  if (output.isJson) output.json(ad);
  else output.table(adColumns, [adRow(ad)]);
};

const listAds: Run = async ({ query, output }, options) => {
  const fields = {
    campaign_id: textOf(options, "campaign"),
    advertiser_id: textOf(options, "advertiser"),
    after: textOf(options, "after"),
    limit: String(countOf(options, "limit", 100, LIST_MAX)),
  };
  const page = await query.ask<{ ads: Ad[]; next: string | null }>("GET", `/v1/ads${queryString(fields)}`);
  if (output.isJson) {
    output.json(page);
    return;
  }
  output.table(adColumns, page.ads.map(adRow));
  if (page.ads.length === 0) output.note("no ads: adtally ads import FILE brings some");
  if (page.next !== null) output.note(`there may be more: --after ${page.next}`);
};

const importAds: Run = async (context, _options, [file = ""]) => {
  const { output } = context;
  const { bytes, size } = await openInput(file);
  const report = await sendImport(context, bytes, size, file);
  if (output.isJson) output.json(report);
  else tellImport(context, report, file);
  if (report.failed !== undefined)
    throw new Failure(EXIT.failed, report.failed.code, `the import stopped: ${report.failed.detail}`, {
      where: `${file}, after ${grouped(report.lines)} lines`,
      remedy: "run it again as a whole: what was imported stays as it is",
    });
  if (report.rejected > 0)
    throw new Failure(
      EXIT.failed,
      "LINES_REJECTED",
      `${grouped(report.rejected)} of ${grouped(report.lines)} lines rejected`,
      {
        where: file,
        remedy: "mend them and import the file again: what was imported stays as it is",
      },
    );
};

async function openInput(file: string): Promise<{ bytes: Readable; size: number | undefined }> {
  if (file === "-") return { bytes: process.stdin, size: undefined };
  try {
    const { size } = await stat(file);
    const bytes = createReadStream(file);
    await new Promise((resolve, reject) => bytes.once("open", resolve).once("error", reject));
    return { bytes, size };
  } catch (error) {
    throw usage(
      `${file} cannot be read: ${messageOf(error)}`,
      "name a file of NDJSON, or - for standard input",
    );
  }
}

/** Both ways at once, which fetch does not do: progress comes back while the file goes out. */
async function sendImport(
  { config, output }: Context,
  bytes: Readable,
  size: number | undefined,
  file: string,
): Promise<ImportReport> {
  const { key, timeoutSeconds } = config;
  const target = new URL("/v1/ads/import", config.url);
  const where = `POST ${target.href}`;
  const timeoutMs = timeoutSeconds * 1_000;
  const about = { name: "gateway", url: config.url, key, timeoutMs, flag: "--url" };
  const request = (target.protocol === "https:" ? https : http).request(target, {
    method: "POST",
    headers: {
      "content-type": "application/x-ndjson",
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
    },
    // Of silence, not of the whole: a large file takes its time.
    timeout: timeoutMs,
  });
  request.once("timeout", () => request.destroy(new DOMException("", "TimeoutError")));
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once("response", resolve).once("error", reject);
  });
  let sent = 0;
  bytes.on("data", (chunk: Buffer) => (sent += chunk.length));
  const sending = pipeline(bytes, request);
  // A refusal may come before the last byte went out: it says more than the broken pipe.
  sending.catch(() => undefined);
  try {
    const answer = await answered;
    const status = answer.statusCode ?? 0;
    if (status !== 200) {
      const text = await answer.setEncoding("utf8").toArray();
      request.destroy();
      throw await refusalOf(new Response(text.join(""), { status }), where, "gateway");
    }
    let last: ImportReport | undefined;
    for await (const line of createInterface({ input: answer })) {
      if (line === "") continue;
      last = JSON.parse(line) as ImportReport;
      const share = size === undefined || size === 0 ? "" : ` (${Math.floor((100 * sent) / size)} % sent)`;
      output.progress(`${grouped(last.imported)} ads imported, ${grouped(last.rejected)} rejected${share}`);
    }
    if (last?.errors === undefined)
      throw new Failure(EXIT.unreachable, "UNREACHABLE", "the answer broke off before the end", {
        where,
        remedy: `import ${file} again: what was imported stays as it is`,
      });
    return last;
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw unreachable(error, where, about);
  }
}

function tellImport(
  { output }: Context,
  { errors = [], imported, lines, rejected }: ImportReport,
  file: string,
): void {
  output.say(`${grouped(imported)} of ${grouped(lines)} ads imported`);
  for (const { line, reason } of errors.slice(0, SHOWN_ERRORS))
    output.note(`${file}:${line}: ${safe(reason)}`);
  const more = rejected - Math.min(errors.length, SHOWN_ERRORS);
  if (more > 0) output.note(`… and ${grouped(more)} more`);
}
