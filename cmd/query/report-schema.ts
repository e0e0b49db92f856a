/** GET /v1/reports for the OpenAPI document: its parameters, and what an answer holds. */
import { COUNTED_VERDICTS, GRANULARITIES, GROUPS } from "../../actors/reports/query.ts";
import type { ReportLimits } from "../../actors/reports/read-query.ts";
import { idSchema, problemResponses, text } from "../gateway/schemas.ts";

const ids = (what: string, most: number) =>
  text(`${what}: unsigned 64-bit, decimal; several separated by commas, ${most} at the most.`);
const count = (description: string) => ({ type: "integer", description }) as const;
const countOrNull = (description: string) => ({ type: ["integer", "null"], description }) as const;
const timeOrNull = (description: string) => ({ type: ["string", "null"], description }) as const;

const counts = {
  clicks: count("Valid clicks: counted, and billed."),
  invalid: count("Invalid traffic: kept and reported, not billed."),
  duplicates: count("Repeats of a click that was counted."),
  late: countOrNull(
    "Dead letters: late, expired or refused clicks; null before raw_since. With include=late.",
  ),
  count: count("In place of the four, where grouped by verdict or reason."),
};

const rowSchema = {
  type: "object",
  properties: {
    start: text("RFC 3339: when the interval begins."),
    end: text("Exclusive."),
    advertiser_id: idSchema("Where grouped by it; null in the row of the rest."),
    campaign_id: idSchema("As advertiser_id."),
    ad_id: idSchema("As advertiser_id."),
    verdict: { type: "string", enum: COUNTED_VERDICTS },
    reason: text("Why; NONE where the verdict says it all."),
    rest: { type: "boolean", description: "All groups that are not of the top, together." },
    ...counts,
    share: { type: ["number", "null"], description: "Of the clicks of its interval, 0 to 1; null of none." },
    previous_clicks: countOrNull("Of the same interval of the period before; so previous_… of the others."),
    status: { type: "string", enum: ["live", "final"], description: "Final changes no more." },
  },
} as const;

export const reportSchema = (limits: ReportLimits) =>
  ({
    tags: ["reports"],
    summary: "Clicks by time and group, in any time zone; the best of a group, the period before.",
    description:
      "Counts are exact and a second old. An interval is final once no click can come to it any more. Hours and days " +
      "of advertisers come from sums that are made of whole hours; whatever is not summed yet is read by the minute, " +
      "so nothing is counted twice. Reasons and dead letters are known of raw clicks alone, which are kept for a week: " +
      "raw_since says from when on. Without an id the report is of all that the key may see.",
    security: [{ key: [] }],
    querystring: {
      type: "object",
      additionalProperties: false,
      properties: {
        advertiser_id: ids("Advertisers", limits.reportMaxIds),
        campaign_id: ids("Campaigns", limits.reportMaxIds),
        ad_id: ids("Ads", limits.reportMaxIds),
        from: text(
          "RFC 3339, now, or before now: -30m, -24h, -7d, -4w. Rounded down to an interval. -24h by default.",
        ),
        to: text("As from; exclusive, rounded up. now by default."),
        time_zone: text("IANA name. Days begin at its midnight, weeks on its Monday. UTC by default."),
        granularity: text(
          `${GRANULARITIES.join(", ")}; at most ${limits.reportMaxPoints} intervals. 1h by default.`,
        ),
        group_by: text(`Of ${GROUPS.join(", ")}; several separated by commas.`),
        verdict: text(`Counts these alone: of ${COUNTED_VERDICTS.join(", ")}, separated by commas.`),
        include: text("late: the dead letters too, as a column."),
        top: text(
          `The groups with most clicks in all of the time, up to ${limits.reportMaxTop}; the others are one row, rest.`,
        ),
        compare: text("previous: with the period of the same length before."),
        sort: text("time, clicks, invalid, duplicates, late or count; with - before it the largest first."),
        limit: text(
          `Rows of a page, up to ${limits.reportPageMaxRows}; ${limits.reportPageRows} by default, in CSV and Parquet all.`,
        ),
        cursor: text("next of the page before, with everything else as it was."),
        format: { type: "string", enum: ["json", "csv", "parquet"], description: "Or by the header Accept." },
      },
    },
    response: {
      200: {
        description: "As asked for. Pages: the header Link names the next one, too.",
        content: {
          "application/json": {
            schema: {
              type: "object",
              properties: {
                from: text("Of the first interval."),
                to: text("Of the last one; exclusive."),
                time_zone: text("As asked for."),
                granularity: { type: "string", enum: GRANULARITIES },
                group_by: { type: "array", items: { type: "string", enum: GROUPS } },
                columns: {
                  type: "array",
                  items: { type: "string" },
                  description: "Of every row, in the order of CSV.",
                },
                rows: { type: "array", items: rowSchema },
                row_count: count("Of all pages."),
                total: { type: "object", properties: counts, description: "Of all rows, of whatever page." },
                previous_from: timeOrNull("Where the period before begins."),
                previous_to: timeOrNull("Where it ends."),
                previous_total: { type: ["object", "null"], properties: counts },
                raw_since: text("From when on dead letters and reasons are known."),
                watermark: timeOrNull("All before it is final; null before the first checkpoint."),
                next: {
                  type: ["string", "null"],
                  description: "Cursor of the next page; null on the last one.",
                },
              },
            },
          },
          "text/csv": { schema: { type: "string" } },
          "application/vnd.apache.parquet": { schema: { type: "string", format: "binary" } },
        },
      },
      ...problemResponses(400, 401, 403, 404, 503, 504),
    },
  }) as const;
