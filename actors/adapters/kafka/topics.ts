/** The names of the topics, for one prefix: those that carry blocks, and those of keyed records. */
import type { ClickTopic } from "../../ports/click-log.ts";
import type { KeyedTopic } from "../../ports/keyed-log.ts";

export const CLICK_TOPICS: readonly ClickTopic[] = ["clicks", "clicks-spill", "clicks-dead-letter"];
export const KEYED_TOPICS: readonly KeyedTopic[] = ["ads", "keys"];

export function topicName(prefix: string | undefined, topic: ClickTopic | KeyedTopic): string {
  return `${prefix ?? ""}${topic}`;
}
