/**
 * Stored audit events: who did what, with which outcome, from where.
 *
 * @module fastify-users/audit
 */

import {
  checkObject,
  defineFeature,
  deleteExpired,
  type Feature,
  type FeatureKit,
  type FeatureParts
} from '../../feature/index.js'
import { readEvents, type AuditPage, type AuditQuery } from './event-reader.js'
import { exportEvents } from './export-events.js'
import { EventWriter, type AuditCounts } from './event-writer.js'
import { auditEventModel as model } from './model.js'
import { resolveAuditOptions, type AuditFeatureOptions } from './options.js'
import { auditRoutes } from './routes.js'

export type { AuditPage, AuditQuery } from './event-reader.js'
export type { AuditCounts } from './event-writer.js'
export type { StoredAuditEvent } from './model.js'
export type { AuditFeatureOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    audit: AuditApi
  }
}

/** The functions of `app.users.feature('audit')`. None of them changes or deletes single events. */
export interface AuditApi {
  /** Returns a page of events, the newest first. */
  list(query?: AuditQuery): Promise<AuditPage>
  /** Stores the events that wait. Resolves also if the store fails; then they wait for the next attempt. */
  flush(): Promise<void>
  /** Deletes the events that are older than `keepDays`, and returns their number. */
  prune(): Promise<number>
  /** Returns the numbers of waiting, stored and dropped events of this process. */
  counts(): AuditCounts
}

/** Time between two deletions of old events, in milliseconds. */
const PRUNE_INTERVAL_MS = 60 * 60 * 1000

/**
 * Creates the feature that stores audit events in the database, deletes them after `keepDays`, and lets superusers read
 * them with `GET /audit-events`. Events are stored in batches after the replies; a store that fails or is slow changes
 * no reply. An invalid option stops the start with a coded error.
 *
 * @example
 * await app.register(users, { adapter, secret, backends, features: [audit({ keepDays: 90 })] })
 */
export function audit (options: AuditFeatureOptions = {}): Feature<AuditApi> {
  checkObject('audit', options)
  return defineFeature({
    name: 'audit',
    models: () => [model],
    setup: (kit) => startAuditFeature(kit, options)
  })
}
export default audit

function startAuditFeature (kit: FeatureKit, options: AuditFeatureOptions): FeatureParts<AuditApi> {
  const settings = resolveAuditOptions(options)
  const { keepMs, path } = settings
  const writer = new EventWriter(kit, settings)
  let isClosing = false
  let prunedAt = Number.NEGATIVE_INFINITY

  async function prune (): Promise<number> {
    if (keepMs === null) return 0
    return await deleteExpired(kit.store, model, 'time', new Date(kit.clock() - keepMs), () => isClosing)
  }

  /** Deletes old events in the background, at most once an hour. */
  function pruneIfDue (): void {
    if (keepMs === null || isClosing || kit.clock() - prunedAt < PRUNE_INTERVAL_MS) return
    prunedAt = kit.clock()
    kit.background(prune)
  }

  kit.scope.addHook('preClose', async () => {
    isClosing = true
    writer.beginClosing()
  })
  kit.scope.addHook('onClose', async () => {
    await writer.close()
  })
  return {
    hooks: {
      async onAudit (event) {
        await writer.add(event)
        pruneIfDue()
      }
    },
    ...(path === null ? {} : { routes: async (scope) => { await scope.register(auditRoutes, { kit, path }) } }),
    async exportData (user) {
      await writer.flush()
      return { events: await exportEvents(kit, user) }
    },
    api: {
      list: (query = {}) => readEvents(kit, query),
      flush: () => writer.flush(),
      prune,
      counts: () => writer.counts()
    }
  }
}
