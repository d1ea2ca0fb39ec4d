import { hasErrorCode, type AuditEvent, type FeatureKit, type Row } from '../../feature/index.js'
import { auditEventModel as model, createRowFactory } from './model.js'
import type { AuditFeatureSettings } from './options.js'

/** The numbers of events since the start of the process. */
export interface AuditCounts {
  /** Events that wait to be stored. */
  readonly waiting: number
  readonly stored: number
  /** Events that were lost, because too many were waiting or because the store refused them. */
  readonly dropped: number
}

/** Number of events that are stored together. */
const BATCH = 100
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 60_000
/** Errors after which the same events can be stored later. */
const TEMPORARY = ['FST_USERS_STORE_UNAVAILABLE', 'FST_USERS_NOT_READY']

type WriterKit = Pick<FeatureKit, 'store' | 'log'>

/** Stores events in batches. */
export class EventWriter {
  readonly #kit: WriterKit
  readonly #settings: Pick<AuditFeatureSettings, 'flushMs' | 'maxQueued'>
  readonly #toRow = createRowFactory()
  readonly #queue: Row[] = []
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  /** Milliseconds until the next attempt; 0 if the last one succeeded. */
  #retryMs = 0
  #isClosing = false
  #stored = 0
  #dropped = 0

  constructor (kit: WriterKit, settings: Pick<AuditFeatureSettings, 'flushMs' | 'maxQueued'>) {
    this.#kit = kit
    this.#settings = settings
  }

  /** Adds an event. It is stored later; while the application closes, the returned promise waits for it. */
  async add (event: AuditEvent): Promise<void> {
    const { flushMs, maxQueued } = this.#settings
    if (this.#queue.length >= maxQueued) {
      this.#drop(1, 'fastify-users: audit events are dropped, because too many wait to be stored')
      return
    }
    this.#queue.push(this.#toRow(event))
    if (this.#isClosing) await this.flush()
    else this.#schedule(this.#retryMs > 0 ? this.#retryMs : flushMs)
  }

  /** Stores the waiting events. Resolves also if the store fails; the events then wait for the next attempt. */
  flush (): Promise<void> {
    this.#running ??= this.#storeAll().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Stores each further event at once. */
  beginClosing (): void {
    this.#isClosing = true
    clearTimeout(this.#timer)
  }

  /** Stores the waiting events a last time, and logs how many are lost. */
  async close (): Promise<void> {
    await this.flush()
    const lost = this.#queue.length
    if (lost > 0) this.#kit.log.error({ lost }, 'fastify-users: closed before all audit events were stored')
  }

  counts (): AuditCounts {
    return { waiting: this.#queue.length, stored: this.#stored, dropped: this.#dropped }
  }

  #schedule (ms: number): void {
    if (this.#timer !== undefined || this.#isClosing) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.flush().catch((error: unknown) => {
        this.#kit.log.error({ err: error }, 'fastify-users: audit events were not stored')
      })
    }, ms).unref()
  }

  /** Counts lost events. If the queue is full, only the first lost event is logged. */
  #drop (count: number, message: string, error?: unknown): void {
    const isFirst = this.#dropped === 0
    this.#dropped += count
    if (isFirst || error !== undefined) this.#kit.log.error({ err: error, dropped: this.#dropped }, message)
  }

  async #storeAll (): Promise<void> {
    while (this.#queue.length > 0) {
      if (await this.#storeBatch()) continue
      this.#schedule(this.#retryMs)
      return
    }
  }

  /** Stores the first events of the queue. Returns false if the store fails and the events must wait. */
  async #storeBatch (): Promise<boolean> {
    const batch = this.#queue.slice(0, BATCH)
    try {
      await storeRows(this.#kit, batch)
      this.#stored += batch.length
      if (this.#retryMs > 0) this.#kit.log.warn(this.counts(), 'fastify-users: audit events are stored again')
      this.#retryMs = 0
    } catch (error) {
      if (TEMPORARY.some((code) => hasErrorCode(error, code))) {
        this.#postpone(error)
        return false
      }
      this.#drop(batch.length, 'fastify-users: the store refused audit events', error)
    }
    this.#queue.splice(0, batch.length)
    return true
  }

  #postpone (error: unknown): void {
    const counts = this.counts()
    if (this.#retryMs === 0) this.#kit.log.error({ err: error, ...counts }, 'fastify-users: audit events wait, because the store fails')
    this.#retryMs = Math.min(Math.max(this.#retryMs * 2, FIRST_RETRY_MS), MAX_RETRY_MS)
  }
}

/**
 * Stores rows together if the store can. After a lost reply, some of them may be stored already; then they are stored
 * one by one.
 */
async function storeRows ({ store }: WriterKit, rows: readonly Row[]): Promise<void> {
  if (store.createAll !== undefined) {
    try {
      await store.createAll(rows.map((row) => [model, row]))
      return
    } catch (error) {
      if (!hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) throw error
    }
  }
  for (const row of rows) {
    try {
      await store.create(model, row)
    } catch (error) {
      if (!hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) throw error
    }
  }
}
