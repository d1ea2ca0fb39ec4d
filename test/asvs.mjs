// Prints the requirements of OWASP ASVS 5.0.0, chapters 6 to 10 at the levels 1 and 2 and some of level 3, with the
// tests that show them, from docs/contributing/asvs.md. If the suite has run, a requirement whose tests failed or were
// skipped is not shown.
//
//   npm run asvs
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { allTests, namedIds, parseResults, passes } from './results.mjs'
import { isTitleOf, readSourceTitles } from './titles.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const resultsFile = join(root, '.tap/results.tap')
/** The levels of the requirements of each section, in their order. The page may leave out those of level 3. */
const SECTIONS = new Map([
  ...[['6.1', '122'], ['6.2', '111111112222'], ['6.3', '11223333'], ['6.4', '112233'], ['6.5', '22222333']],
  ...[['6.6', '2223'], ['6.7', '33'], ['6.8', '2222']],
  ...[['7.1', '222'], ['7.2', '1111'], ['7.3', '22'], ['7.4', '11222'], ['7.5', '223'], ['7.6', '22']],
  ...[['8.1', '1233'], ['8.2', '1123'], ['8.3', '133'], ['8.4', '23']],
  ...[['9.1', '111'], ['9.2', '1222']],
  ...[['10.1', '22'], ['10.2', '223'], ['10.3', '22223'], ['10.4', '1111122222233333'], ['10.5', '22222']],
  ...[['10.6', '22'], ['10.7', '222']]
])
const STATES = ['shown', 'documented', 'application', 'no such part', 'not shown']

/** Returns the rows of the page. */
export function readRequirements () {
  const page = readFileSync(join(root, 'docs/contributing/asvs.md'), 'utf8')
  return [...page.matchAll(/^\| (\d+\.\d+\.\d+) \|(.*)\|$/gm)].map(([, number, cells]) => {
    const [level, summary, state, tests, remark] = cells.split('|').map((cell) => cell.trim())
    const titles = [...tests.matchAll(/"([^"]+)"/g)].map(([, title]) => title)
    const ids = tests.replace(/"[^"]+"/g, '').split(',').map((id) => id.trim()).filter((id) => id !== '')
    return { number, level, summary, state, ids, titles, remark }
  })
}

/** Returns the titles in the sources that a requirement names. */
function titlesOf ({ ids, titles }, sources) {
  const named = ids.map((id) => sources.filter(({ title }) => namedIds(title).includes(id.replace('row ', ''))))
  return [...named, ...titles.map((wanted) => sources.filter(({ title }) => title === wanted))]
}

/** Returns what is wrong in the page: missing requirements, unknown tests, options and states. */
export function findMistakes (requirements = readRequirements()) {
  const mistakes = []
  const sources = readSourceTitles()
  const existing = [...SECTIONS].flatMap(([section, levels]) =>
    [...levels].map((level, n) => `${section}.${n + 1} at level ${level}`)
  )
  const expected = existing.filter((name) => !name.endsWith('3'))
  const present = requirements.map(({ number, level }) => `${number} at level ${level}`)
  for (const name of expected) if (!present.includes(name)) mistakes.push(`there is no requirement ${name}`)
  for (const name of present) if (!existing.includes(name)) mistakes.push(`ASVS has no requirement ${name}`)
  if (new Set(present).size !== present.length) mistakes.push('a requirement occurs twice')

  const documents = ['docs/options.md', 'docs/passwords.md', 'docs/refresh-tokens.md', 'docs/oauth.md', 'docs/concepts.md']
    .map((page) => readFileSync(join(root, page), 'utf8'))
  for (const requirement of requirements) {
    const { number, state, ids, titles, remark } = requirement
    if (!STATES.includes(state)) mistakes.push(`${number}: there is no state "${state}"`)
    const hasTests = ids.length + titles.length > 0
    if (hasTests !== (state === 'shown')) mistakes.push(`${number}: tests do not fit to "${state}"`)
    if (['application', 'no such part'].includes(state) && remark === '') mistakes.push(`${number}: there is no reason`)
    if (state === 'documented' && !/\]\(/.test(remark)) mistakes.push(`${number}: there is no page`)
    for (const [n, found] of titlesOf(requirement, sources).entries()) {
      if (found.length === 0) mistakes.push(`${number}: there is no test ${[...ids, ...titles][n]}`)
    }
    for (const [, page] of remark.matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      if (!existsSync(join(root, 'docs/contributing', page))) mistakes.push(`${number}: there is no page ${page}`)
    }
    for (const [, option] of remark.matchAll(/`([^`]+)`/g)) {
      const [name] = /[\w.]+/.exec(option)
      if (!documents.some((text) => text.includes(name))) mistakes.push(`${number}: there is no option ${name}`)
    }
  }
  return mistakes
}

function print () {
  const requirements = readRequirements()
  const sources = readSourceTitles()
  const results = existsSync(resultsFile) ? [...allTests(parseResults(readFileSync(resultsFile, 'utf8')))] : null
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]))
  for (const requirement of requirements) {
    const { number, level, summary, state, ids, titles, remark } = requirement
    const found = titlesOf(requirement, sources)
    const broken = found.filter((some) => results !== null && !some.some(({ title }) => hasPassed(title, results)))
    const verdict = state === 'shown' && broken.length > 0 ? 'not shown' : state
    counts[verdict]++
    console.log(`${number.padEnd(7)} L${level}  ${verdict.padEnd(12)}  ${summary}`)
    for (const [n, some] of found.entries()) {
      const name = [...ids, ...titles][n]
      const failed = broken.includes(some) ? 'did not pass: ' : ''
      const more = some.length > 1 ? ` and ${some.length - 1} more` : ''
      const { title = name, file = 'no file' } = some[0] ?? {}
      console.log(`           ${failed}${title} (test/${file})${more}`)
    }
    if (remark !== '') console.log(`           ${remark.replace(/\[([^\]]+)\]\(([^)]+)\)/g, '$1 ($2)')}`)
  }
  for (const mistake of findMistakes(requirements)) console.log(mistake)
  const concerned = requirements.length - counts.application - counts['no such part']
  if (results === null) console.log('\nThere are no results of a test run: the list states which tests exist.')
  console.log(
    `\n${requirements.length} requirements: ${counts.application} depend on the application, ` +
      `${counts['no such part']} are about parts that do not exist; ${counts.documented} of the others are documented, ` +
      `${counts.shown} are shown by tests`
  )
  console.log(`shown ${counts.shown + counts.documented} of ${concerned}`)
}

function hasPassed (source, results) {
  const runs = results.filter(({ title }) => isTitleOf(source, title))
  return runs.length > 0 && runs.every(passes)
}

if (import.meta.url === pathToFileURL(argv[1]).href) print()
