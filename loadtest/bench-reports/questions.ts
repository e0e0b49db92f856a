/** Questions in the report API's own words: zones, groups, the best of them, the period before. */
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import type { ReportQuery } from "../../actors/reports/query.ts";
import { readReportQuery, type ReportInput } from "../../actors/reports/read-query.ts";

export interface Question {
  readonly question: string;
  readonly input: (advertiserId: string) => ReportInput;
}

const ofAdvertiser = (more: ReportInput) => (advertiser_id: string) => ({ advertiser_id, ...more });

export const QUESTIONS: readonly Question[] = [
  {
    question: "zone: an advertiser, a year by day of Berlin",
    input: ofAdvertiser({ from: "-365d", granularity: "1d", time_zone: "Europe/Berlin" }),
  },
  {
    question: "zone: an advertiser, 90 d by day of Kolkata",
    input: ofAdvertiser({ from: "-89d", granularity: "1d", time_zone: "Asia/Kolkata" }),
  },
  {
    question: "compare: an advertiser, 30 d by day, with those before",
    input: ofAdvertiser({ from: "-30d", granularity: "1d", compare: "previous" }),
  },
  {
    question: "group: an advertiser, 30 d by campaign",
    input: ofAdvertiser({ from: "-30d", granularity: "total", group_by: "campaign" }),
  },
  {
    question: "top: an advertiser, 7 d by day, its 10 best ads",
    input: ofAdvertiser({ from: "-7d", granularity: "1d", group_by: "ad", top: "10" }),
  },
  {
    question: "total: an advertiser, today",
    input: ofAdvertiser({ from: "-24h", granularity: "total" }),
  },
];

export function queryOf(input: ReportInput, nowMs: number): ReportQuery {
  const { faults, query } = readReportQuery(input, { nowMs, limits: DEFAULT_LIMITS });
  if (query === undefined) throw new Error(JSON.stringify(faults));
  return query;
}
