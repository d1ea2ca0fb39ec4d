// Prints where the compatibility mode differs from FastAPI Users 15.0.5 on purpose, and why: the rows of `rows.ts` and
// `oauth-rows.ts` that carry a reason. `wire.test.ts` and `oauth.test.ts` send every row
// to this package, `wire-live.test.ts` and `oauth-live.test.ts` to FastAPI Users.
import { readFileSync } from 'node:fs'
import ts from 'typescript'

async function rowsOf (name) {
  const source = readFileSync(new URL(name, import.meta.url), 'utf8')
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
  })
  const { rows } = await import(`data:text/javascript;base64,${Buffer.from(outputText).toString('base64')}`)
  return rows
}

const rows = [...(await rowsOf('rows.ts')), ...(await rowsOf('oauth-rows.ts'))]
const different = rows.filter(({ differs }) => differs !== undefined)
for (const {
  at,
  name,
  steps,
  differs: { upstream, reason }
} of different) {
  const ours = steps.map(({ status }) => status).join(', ')
  console.log(`${at}  ${name}\n      FastAPI Users: ${upstream}\n      here: ${ours}; ${reason}\n`)
}
console.log(`${rows.length} rows, ${rows.length - different.length} the same, ${different.length} different on purpose`)
