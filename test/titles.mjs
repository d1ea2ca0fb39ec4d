// Titles of tests, read from the sources.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const folder = fileURLToPath(new URL('.', import.meta.url))

let titles

/** Returns the title and the file of each test. Titles contain placeholders such as `${name}` as they are written. */
export function readSourceTitles () {
  titles ??= readAll()
  return titles
}

function readAll () {
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.ts'))
  return names.sort().flatMap((name) => titlesIn(name, readFileSync(join(folder, name), 'utf8')))
}

function titlesIn (file, text) {
  const found = []
  const visit = (node) => {
    if (ts.isCallExpression(node) && /(?:(?:^|\.)test|^onEveryStore)$/.test(node.expression.getText())) {
      const [title] = node.arguments
      if (title !== undefined && (ts.isStringLiteralLike(title) || ts.isTemplateExpression(title))) {
        found.push({ title: textOf(title), file })
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true))
  return found
}

function textOf (title) {
  return ts.isStringLiteralLike(title) ? title.text : title.getText().slice(1, -1)
}

/** Returns true if a title of a run can come from a title of the sources. */
export function isTitleOf (source, title) {
  const pattern = source
    .split(/\$\{[^}]*\}/)
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
  return new RegExp(`^${pattern}$`).test(title)
}
