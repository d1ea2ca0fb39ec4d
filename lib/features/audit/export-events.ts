import type { FeatureKit, User } from '../../feature/index.js'
import { MAX_PAGE, readEvents } from './event-reader.js'
import type { StoredAuditEvent } from './model.js'

/** Largest number of events in an export. */
const MAX_EXPORTED = 1000

/** An event about a user, without ids of sessions and without data of other users. */
export type ExportedEvent = Pick<
  StoredAuditEvent,
  'time' | 'event' | 'outcome' | 'reason' | 'ip' | 'user_agent' | 'backend' | 'method'
>

/** Returns the newest 1000 events about a user. */
export async function exportEvents (
  kit: Pick<FeatureKit, 'store' | 'settings'>,
  { id }: User
): Promise<ExportedEvent[]> {
  const exported: ExportedEvent[] = []
  let after: string | null = null
  do {
    const page = { user: String(id), limit: MAX_PAGE, ...(after === null ? {} : { after }) }
    const { events, next } = await readEvents(kit, page)
    exported.push(...events.map((event) => withoutOthers(event, String(id))))
    after = next
  } while (after !== null && exported.length < MAX_EXPORTED)
  return exported
}

/** Returns an event without the client of another user, such as a superuser who changed the account. */
function withoutOthers (stored: StoredAuditEvent, id: string): ExportedEvent {
  const { time, event, outcome, reason, backend, method, actor_id: actor } = stored
  const isOther = actor !== null && actor !== id
  const client = isOther ? { ip: null, user_agent: null } : { ip: stored.ip, user_agent: stored.user_agent }
  return { time, event, outcome, reason, ...client, backend, method }
}
