// The page of OWASP ASVS names only requirements, tests, options and pages that exist.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { root } from './helpers/root.js'

interface Requirement {
  number: string
  level: string
  summary: string
  state: string
  ids: string[]
  titles: string[]
  remark: string
}

const { findMistakes, readRequirements } = (await import(pathToFileURL(join(root, 'test/asvs.mjs')).href)) as {
  findMistakes(requirements?: readonly Requirement[]): string[]
  readRequirements(): Requirement[]
}

t.test('the page lists all requirements of the chapters 6 to 10, and what it names exists', async (t) => {
  t.same(findMistakes(), [])
})

t.test('a missing or changed requirement, test, option or page is noticed', async (t) => {
  const [first, ...others] = readRequirements()
  if (first === undefined) return t.fail('there are requirements')
  t.same(findMistakes(others), [`there is no requirement ${first.number} at level ${first.level}`])
  const shown = { ...first, state: 'shown', titles: [], remark: '' }
  for (const [changed, mistake] of [
    [{ ...first, number: '6.7.9', level: '3' }, 'ASVS has no requirement 6.7.9 at level 3'],
    [{ ...first, level: '2' }, `ASVS has no requirement ${first.number} at level 2`],
    [{ ...shown, ids: ['PW-99'] }, `${first.number}: there is no test PW-99`],
    [{ ...shown, ids: [], titles: ['none'] }, `${first.number}: there is no test none`],
    [{ ...shown, ids: [] }, `${first.number}: tests do not fit to "shown"`],
    [{ ...shown, ids: ['PW-01'], remark: '`noSuchOption`' }, `${first.number}: there is no option noSuchOption`],
    [{ ...shown, ids: ['PW-01'], remark: '[x](../none.md)' }, `${first.number}: there is no page ../none.md`],
    [{ ...first, state: 'perhaps' }, `${first.number}: there is no state "perhaps"`],
    [{ ...shown, state: 'application', ids: [] }, `${first.number}: there is no reason`],
    [{ ...shown, state: 'documented', ids: [] }, `${first.number}: there is no page`]
  ] as const) {
    t.ok(findMistakes([changed as Requirement, ...others]).includes(mistake), mistake)
  }
})
