import type { EventContext, FeatureKit, User, UserId } from '../../feature/index.js'

/** Events of a write to a user. */
type WriteEvent = 'onBeforeUpdate' | 'onAfterUpdate'

/** Distinguishes the writes of `is_active` by this feature from those of others. */
export interface OwnWrites {
  /** Activates or deactivates a user. */
  setActive(id: UserId, isActive: boolean, context: EventContext): Promise<User>
  /**
   * Returns true if the event belongs to a write of this feature. Each write is expected to fire each event once, so if
   * others write at the same time, one of the two events of a name counts as theirs.
   */
  consumeEvent(event: WriteEvent, user: Pick<User, 'id'>): boolean
}

/** Creates the register of the feature's own writes. */
export function createOwnWrites ({ users }: FeatureKit): OwnWrites {
  const expected = new Map<string, number>()

  function add (event: WriteEvent, id: UserId, change: 1 | -1): boolean {
    const key = `${event} ${String(id)}`
    const count = (expected.get(key) ?? 0) + change
    if (count > 0) expected.set(key, count)
    else expected.delete(key)
    return count >= 0
  }

  return {
    async setActive (id, isActive, context) {
      for (const event of ['onBeforeUpdate', 'onAfterUpdate'] as const) add(event, id, 1)
      try {
        return await users.update(id, { is_active: isActive }, { ...context, by: 'code' })
      } catch (error) {
        for (const event of ['onBeforeUpdate', 'onAfterUpdate'] as const) add(event, id, -1)
        throw error
      }
    },
    consumeEvent: (event, { id }) => add(event, id as UserId, -1)
  }
}
