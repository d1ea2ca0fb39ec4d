import type { Case } from '../cases.js'
import { runCases } from './run-cases.js'
import type { RunOptions, Skipped } from './scene.js'
import type { CaseResult } from './summary.js'

const SIZES = [10_000, 100_000, 1_000_000]
const CONNECTIONS = [1, 16, 64, 256]
const CONTENDERS = ['ours-jwt-sqlite', 'ours-stored-sqlite', 'ours-jwt-postgres', 'ours-stored-postgres']
/** Users who log in. Their requests are sent in turn, and their rows are at regular intervals in the table. */
const TOKENS = 500

const growing: readonly Case[] = CONTENDERS.flatMap((contender) => [
  ...SIZES.map((users) => ({
    name: `${contender}-users-${users}`,
    contender,
    settings: { users, tokens: TOKENS, spread: true },
    reference: 'bare',
    server: contender.endsWith('postgres')
  })),
  ...CONNECTIONS.map((connections) => ({
    name: `${contender}-connections-${connections}`,
    contender,
    connections,
    reference: 'bare',
    server: contender.endsWith('postgres')
  }))
])

/** Measures guarded routes with more users, and with more connections. The ratios should stay the same. */
export function measureGrowth (options: RunOptions): Promise<{ results: CaseResult[]; skipped: Skipped[] }> {
  return runCases(growing, options)
}
