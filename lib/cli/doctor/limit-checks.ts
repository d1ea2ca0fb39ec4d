import type { Settings } from '../../contracts/settings.js'
import type { Finding } from './finding.js'

/** Checks that attempts are limited, and that all processes count together. */
export function checkLimits ({ limits }: Settings): readonly Finding[] {
  const about = 'limits'
  if (limits === null) {
    const text = 'are off, so anyone can guess passwords without end; remove limits: false, or limit attempts yourself'
    return [{ level: 'warn', about, text }]
  }
  const { store, isServer } = limits
  if (store === 'memory' && isServer) {
    const text =
      'are counted in the memory of each process; with several processes, set limits.store to ' +
      "'database' or redisCounters({ client })"
    return [{ level: 'warn', about, text }]
  }
  const place = store === 'memory' ? 'memory' : store === 'database' ? 'the database' : 'a store of their own'
  return [{ level: 'ok', about, text: `attempts and mails are counted in ${place}` }]
}
