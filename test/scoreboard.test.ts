// The rules and rows that titles of tests name exist, and each has a test or a reason.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { root } from './helpers/root.js'

type Table = Readonly<Record<string, string>>

const load = async <T>(file: string): Promise<T> => (await import(pathToFileURL(join(root, 'test', file)).href)) as T
const { readLists } = await load<{ readLists(): { rows: Table; rules: Table; reasons: Table } }>('scoreboard.mjs')
const { readSourceTitles } = await load<{ readSourceTitles(): { title: string; file: string }[] }>('titles.mjs')
const { namedIds } = await load<{ namedIds(title: string): string[] }>('results.mjs')

const { rows, rules, reasons } = readLists()
const named = readSourceTitles().flatMap(({ title, file }) => namedIds(title).map((id) => ({ id, title, file })))

t.test('each rule has a test or a reason, and no rule has both', async (t) => {
  t.ok(Object.keys(rules).length > 240)
  const shown = new Set(named.map(({ id }) => id))
  t.same(Object.keys(rules).filter((id) => !shown.has(id) && !(id in reasons)), [], 'rules without a test')
  t.same(Object.keys(reasons).filter((id) => shown.has(id) || !(id in rules)), [], 'reasons without use')
})

t.test('titles name only rules and rows that exist', async (t) => {
  t.ok(named.length > 500)
  t.same(named.filter(({ id }) => !(id in rules) && !(id in rows)), [])
})
