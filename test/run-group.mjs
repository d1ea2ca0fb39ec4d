// Runs several test files one after another in this process, for run-directly.mjs. Loading Fastify, the plugin and
// tap costs half a second of CPU time per process, and the code that the first file has warmed up is fast for the next.
//
//   TEST_FILES='["dist/test/a.test.js"]' node --enable-source-maps test/run-group.mjs NAME
//
// NAME differs between processes that run at the same time: tap names the temporary folders of tests after it.
// A TAP comment announces each file.
import async_hooks from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Announces a file in the TAP output, followed by its path. */
export const FILE_COMMENT = 'test file: '

async function runFiles (files) {
  disableAsyncHooks()
  const { default: root } = await import('tap')
  const addTest = root.test.bind(root)
  let results = []
  let teardowns = []
  root.test = (...parameters) => {
    const result = addTest(...parameters)
    results.push(result)
    return result
  }
  root.teardown = (teardown) => teardowns.unshift(teardown)
  for (const file of files) {
    results = []
    teardowns = []
    root.comment(`${FILE_COMMENT}${file}`)
    await import(pathToFileURL(resolve(file))).catch((error) => {
      console.error(error)
      process.exit(1)
    })
    await Promise.all(results)
    for (const teardown of teardowns) await teardown()
  }
}

/**
 * Disables the asynchronous hooks that tap starts for each test. They assign an uncaught error to its test, and cost
 * a tenth of the CPU time. Without them, an uncaught error ends the process, and run-directly.mjs reports its file.
 */
function disableAsyncHooks () {
  const hook = { enable: () => hook, disable: () => hook }
  async_hooks.createHook = () => hook
  syncBuiltinESMExports()
}

if (process.env.TEST_FILES !== undefined) await runFiles(JSON.parse(process.env.TEST_FILES))
