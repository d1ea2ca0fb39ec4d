import { checkKnownKeys, checkOption, readRoute } from '../../feature/index.js'

/** Options of `audit`. */
export interface AuditFeatureOptions {
  /** Days after which events are deleted. Null keeps them forever. Default: 365. */
  keepDays?: number | null
  /** Milliseconds for which events are collected before they are stored together. Default: 500. */
  flushMs?: number
  /** Largest number of events that wait to be stored. Further ones are dropped, counted and logged. Default: 10000. */
  maxQueued?: number
  /** The route for superusers. `false` switches it off, `{ prefix }` moves it. Default: `/audit-events`. */
  routes?: false | { prefix: string }
}

/** The checked options with all defaults. */
export interface AuditFeatureSettings {
  readonly keepMs: number | null
  readonly flushMs: number
  readonly maxQueued: number
  /** Path of the route; null if it is off. */
  readonly path: string | null
}

const DAY = 24 * 60 * 60 * 1000
const MAX_DAYS = 36_500
const MAX_FLUSH_MS = 60_000
const MAX_QUEUED = 1_000_000

/** Returns the options with defaults. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function resolveAuditOptions (options: AuditFeatureOptions): AuditFeatureSettings {
  checkKnownKeys('audit.', options, ['keepDays', 'flushMs', 'maxQueued', 'routes'])
  const { keepDays = 365, flushMs = 500, maxQueued = 10_000, routes } = options
  const route = readRoute('audit.routes', routes, '/audit-events')
  return {
    keepMs: keepDays === null ? null : checkAuditNumber('keepDays', keepDays, 1, MAX_DAYS) * DAY,
    flushMs: checkAuditNumber('flushMs', flushMs, 0, MAX_FLUSH_MS),
    maxQueued: checkAuditNumber('maxQueued', maxQueued, 1, MAX_QUEUED),
    path: route.enabled ? route.prefix : null
  }
}

function checkAuditNumber (name: string, value: number, min: number, max: number): number {
  const isValid = (given: number): boolean => Number.isInteger(given) && given >= min && given <= max
  return checkOption(`audit.${name}`, value, isValid, `must be a whole number from ${min} to ${max}`)
}
