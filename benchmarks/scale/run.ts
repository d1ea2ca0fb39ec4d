// Measures whether lookups stay fast in large tables. It runs the statements of the adapters with ten thousand and with
// a million users, each with a token, in turn. It prints the plans and fails if one reads a complete table.
import { median, printTable } from '../helpers/statistics.js'
import { postgresSite } from './postgres.js'
import { emailOf, tokenOf, type Site } from './site.js'
import { sqliteSite } from './sqlite.js'

type Read = (site: Site, n: number) => unknown
interface Place {
  id: string
  email: string
}

const SIZES = [10_000, Number(process.argv[2] ?? 1_000_000)] as const
const ROUNDS = 60
const AT_ONCE = 25
const AIM = 1.5
const PAGE = 50
const PLACES = 5000

const reads: Record<string, (places: ReadonlyMap<Site, readonly Place[]>) => Read> = {
  'user by e-mail, in another case':
    () =>
      ({ adapter, user }, n) =>
        adapter.findOne(user, { email: emailOf(n).toUpperCase() }),
  'user by id': (places) => (site, n) => site.adapter.findOne(site.user, { id: placeOf(places, site, n).id }),
  'token with its user':
    () =>
      ({ adapter, token }, n) =>
        adapter.findWithUser?.(token, { token: tokenOf(n), created_at: { gte: new Date(Date.now() - 86_400_000) } }),
  [`${PAGE} users far into the list, by id`]: (places) => (site, n) =>
    site.adapter.findMany(site.user, {}, { limit: PAGE, after: { id: placeOf(places, site, n).id } }),
  [`${PAGE} users far into the list, by e-mail`]: (places) => (site, n) =>
    site.adapter.findMany(site.user, {}, { limit: PAGE, order: 'email', after: placeOf(places, site, n) as never }),
  'the 100 oldest tokens, for removal':
    () =>
      ({ adapter, token }, n) =>
        adapter.findMany(
          token,
          { created_at: { lt: new Date(Date.now() - 40_000_000 - n) } },
          { limit: 100, order: 'created_at' }
        )
}
/** Lines of a plan that reads a complete table, or that sorts all remaining rows for one page. */
const MISS = /Seq Scan|^SCAN/
const SORTED = /(?<!Incremental )Sort +\(|TEMP B-TREE FOR ORDER BY/

let failed = false
for (const [database, make] of [
  ['PostgreSQL', postgresSite],
  ['SQLite', sqliteSite]
] as const) {
  const sites: Site[] = []
  try {
    for (const rows of SIZES) {
      const began = performance.now()
      sites.push(await make(rows))
      console.log(`${database}: ${rows} users and tokens in ${((performance.now() - began) / 1000).toFixed(0)} s`)
    }
    const places = new Map<Site, readonly Place[]>()
    for (const site of sites) places.set(site, await placesOf(site))
    const table = [['', ...SIZES.map(String), 'ratio']]
    for (const [name, makeRead] of Object.entries(reads)) {
      table.push([name, ...(await compare(name, makeRead(places), sites))])
    }
    printTable(`${database}: median microseconds of one read (aim: a ratio of ${AIM} at most)`, table)
  } finally {
    for (const site of sites) await site.close()
  }
}
if (failed) process.exitCode = 1

async function compare (name: string, read: Read, sites: readonly Site[]): Promise<string[]> {
  for (const site of sites) {
    const plan = await site.explain(() => read(site, 7))
    if (site !== sites.at(-1)) continue
    console.log(`\n${name}\n  ${plan.join('\n  ')}`)
    const miss = plan.find((line) => MISS.test(line) || (/^\d+ |oldest/.test(name) && SORTED.test(line)))
    if (miss === undefined) continue
    console.error(`  MISSES AN INDEX: ${miss}`)
    failed = true
  }
  const times = sites.map((): number[] => [])
  for (let round = -10; round < ROUNDS; round++) {
    for (const [at, site] of sites.entries()) {
      const numbers = Array.from({ length: AT_ONCE }, () => 1 + Math.floor(Math.random() * site.rows))
      const began = performance.now()
      for (const n of numbers) await read(site, n)
      if (round >= 0) times[at]?.push(((performance.now() - began) / AT_ONCE) * 1000)
    }
  }
  const [small = NaN, large = NaN] = times.map(median)
  return [small.toFixed(1), large.toFixed(1), (large / small).toFixed(2)]
}

/** Returns ids and e-mails of users at regular intervals in the list. */
async function placesOf ({ adapter, user, rows }: Site): Promise<Place[]> {
  const places: Place[] = []
  for (let k = 0; k < PLACES; k++) {
    const row = await adapter.findOne(user, { email: emailOf(1 + Math.floor((k * rows) / PLACES)) })
    if (row !== null) places.push({ id: String(row['id']), email: String(row['email']) })
  }
  return places
}

function placeOf (places: ReadonlyMap<Site, readonly Place[]>, site: Site, n: number): Place {
  const all = places.get(site) ?? []
  return all[n % all.length] ?? { id: '', email: '' }
}
