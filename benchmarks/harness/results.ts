import { readFileSync, writeFileSync } from 'node:fs'
import { drawChart } from './chart.js'
import type { Machine } from './machine.js'
import type { MemoryResult } from './memory.js'
import type { Skipped } from './scene.js'
import type { CaseResult } from './summary.js'
import { writeTables } from './table.js'

/** The content of `results.json`. */
export interface Results {
  /** The day of the run. */
  date: string
  versions: Record<string, string>
  machine: Machine
  rounds: number
  cases: CaseResult[]
  skipped: Skipped[]
  /** Results of `growth` and `memory`. Empty until they are measured. */
  growth: CaseResult[]
  memory: MemoryResult[]
}

const FOLDER = new URL('../../../benchmarks/', import.meta.url)
const MARKED = /(?<=<!-- results -->\n)[\s\S]*(?=<!-- end of results -->)/

/** Returns the stored results, or null. */
export function readResults (): Results | null {
  try {
    return JSON.parse(readFileSync(new URL('results.json', FOLDER), 'utf8')) as Results
  } catch {
    return null
  }
}

/** Adds new results to the stored ones of other cases, in the order of `names`. Writes the table and the chart too. */
export function saveResults (fresh: Results, names: readonly string[]): void {
  const stored = readResults()
  const growth = fresh.growth.length > 0 ? fresh.growth : (stored?.growth ?? [])
  const memory = fresh.memory.length > 0 ? fresh.memory : (stored?.memory ?? [])
  const measured = new Set([...fresh.cases, ...fresh.skipped].map(({ name }) => name))
  const isKept = ({ name }: { name: string }): boolean => !measured.has(name) && names.includes(name)
  const position = ({ name }: { name: string }): number => names.indexOf(name)
  const cases = [...fresh.cases, ...(stored?.cases ?? []).filter(isKept)].sort((a, b) => position(a) - position(b))
  const skipped = [...fresh.skipped, ...(stored?.skipped ?? []).filter(isKept)]
  const rounds = fresh.rounds > 0 ? fresh.rounds : (stored?.rounds ?? 0) // only guarded routes have rounds
  const results: Results = { ...fresh, rounds, cases, skipped, growth, memory }

  writeFileSync(new URL('results.json', FOLDER), `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(new URL('chart.svg', FOLDER), drawChart(results))
  const page = new URL('README.md', FOLDER)
  writeFileSync(page, readFileSync(page, 'utf8').replace(MARKED, () => `\n${writeTables(results)}\n`))
}
