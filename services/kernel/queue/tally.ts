/** Told of what a queue partition does, to be counted: nothing here depends on who counts. */

export interface QueueTally {
  published(topic: string, messages: number): void;
  delivered(subscription: string, messages: number): void;
  acknowledged(subscription: string): void;
  deadLettered(subscription: string): void;
}
