import type { Case } from '../cases.js'
import { runCases } from './run-cases.js'
import type { RunOptions, Skipped } from './scene.js'
import type { CaseResult } from './summary.js'

const SIZES = [10_000, 100_000, 1_000_000]
const CONNECTIONS = [1, 16, 64, 256]
const CONTENDERS = ['ours-jwt-sqlite', 'ours-stored-sqlite', 'ours-jwt-postgres', 'ours-stored-postgres']
/** Users who log in. Their requests are sent in turn, and their rows are at regular intervals in the table. */
const TOKENS = 500

/** Measures guarded routes with more users, and with more connections. The ratios should stay the same. */
export async function measureGrowth (options: RunOptions): Promise<{ results: CaseResult[]; skipped: Skipped[] }> {
  const results: CaseResult[] = []
  const skipped: Skipped[] = []
  for (const contender of CONTENDERS) {
    // one after the other, because a server allows 100 connections by default
    const measured = await runCases(casesOf(contender), options)
    results.push(...measured.results)
    skipped.push(...measured.skipped)
  }
  return { results, skipped }
}

function casesOf (contender: string): Case[] {
  const usual = { contender, reference: 'bare', server: contender.endsWith('postgres') }
  return [
    ...SIZES.map((users) => ({
      ...usual,
      name: `${contender}-users-${users}`,
      settings: { users, tokens: TOKENS, spread: true }
    })),
    ...CONNECTIONS.map((connections) => ({ ...usual, name: `${contender}-connections-${connections}`, connections }))
  ]
}
