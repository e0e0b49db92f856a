/** The names of the topics that carry blocks, for one prefix. */
import type { ClickTopic } from "../../ports/click-log.ts";

export const CLICK_TOPICS: readonly ClickTopic[] = ["clicks", "clicks-spill", "clicks-dead-letter"];

export function topicName(prefix: string | undefined, topic: ClickTopic): string {
  return `${prefix ?? ""}${topic}`;
}
