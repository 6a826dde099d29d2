/** What is out: deliveries that are not settled, and when they come back by themselves. */

import type { Due } from './state.ts';

/** One delivery that is not settled. */
export interface Delivery {
  readonly position: number;
  readonly attempt: number;
  readonly bytes: number;
  /** Wall time. */
  deadlineMs: number;
  group: DeadlineGroup;
}

/** Deliveries with the same deadline: one timer for all of them. */
export class DeadlineGroup implements Due {
  readonly positions: number[] = [];
  /** How many of them still count. */
  open = 0;
  dueMs = 0;
  timerIndex = -1;
  private readonly owner: { onDeadline(group: DeadlineGroup): void };

  constructor(owner: { onDeadline(group: DeadlineGroup): void }) {
    this.owner = owner;
  }

  ring(): void {
    this.owner.onDeadline(this);
  }
}
