import type { AuditEvent, FeatureKit, Where } from '../../feature/index.js'
import { auditEventModel as model, eventOfRow, type StoredAuditEvent } from './model.js'

/** Selects stored events. All given conditions must hold. */
export interface AuditQuery {
  /** Id of the user whom the events concern. */
  readonly user?: string
  /** Id of the user who acted. */
  readonly actor?: string
  /** Name of the events. */
  readonly event?: string
  readonly outcome?: AuditEvent['outcome']
  /** Time of the oldest event. */
  readonly from?: Date
  /** Time after the newest event. */
  readonly to?: Date
  /** Largest number of events, 1 to 100. Default: 50. */
  readonly limit?: number
  /** The `next` of the previous page. */
  readonly after?: string
}

/** A page of stored events, the newest first. */
export interface AuditPage {
  readonly events: StoredAuditEvent[]
  /** Value of `after` for the next page; null on the last page. */
  readonly next: string | null
}

/** Largest page. */
export const MAX_PAGE = 100
const DEFAULT_PAGE = 50

/**
 * Returns a page of events, the newest first. It continues after an id, so new events do not shift the pages (keyset).
 */
export async function readEvents (
  { store, settings }: Pick<FeatureKit, 'store' | 'settings'>,
  { limit = DEFAULT_PAGE, after, ...conditions }: AuditQuery
): Promise<AuditPage> {
  const size = Math.min(Math.max(1, limit), MAX_PAGE)
  const rows = await store.findMany(model, whereOf(conditions), {
    limit: size + 1,
    ...(after === undefined ? {} : { after: { id: after } })
  })
  const events = rows.slice(0, size).map((row) => eventOfRow(settings.name, row))
  return { events, next: rows.length > size ? (events.at(-1)?.id ?? null) : null }
}

function whereOf ({ user, actor, event, outcome, from, to }: AuditQuery): Where {
  const time = { ...(from === undefined ? {} : { gte: from }), ...(to === undefined ? {} : { lt: to }) }
  return {
    ...(user === undefined ? {} : { target_id: user, target_type: 'user' }),
    ...(actor === undefined ? {} : { actor_id: actor }),
    ...(event === undefined ? {} : { event }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(Object.keys(time).length === 0 ? {} : { time })
  }
}
