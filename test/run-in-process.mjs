// Runs test files one after another in this process, for test-process.mjs. Loading Fastify, the plugin and tap costs
// half a second of CPU time per process, and the code that the first file has warmed up is fast for the next.
//
//   node --enable-source-maps test/run-in-process.mjs NAME
//
// NAME differs between processes that run at the same time: tap names the temporary folders of tests after it. Each
// message of the parent process is the path of a file, and the message `null` ends the process. A TAP comment announces
// the begin and the end of each file.
import async_hooks from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The comments that announce the begin and the end of a file, followed by its path. */
export const BEGIN_COMMENT = '# begin of test file: '
export const END_COMMENT = '# end of test file: '
/** Time limit of each file, as in .taprc. */
export const TIMEOUT_SECONDS = 900

async function runFiles () {
  disableAsyncHooks()
  const { default: root } = await import('tap')
  const { channel } = process
  const nextFile = async () => {
    channel.ref() // while a test runs, the channel must not keep a process alive that waits for nothing else
    const file = await new Promise((resolve) => process.once('message', resolve))
    channel.unref()
    return file
  }
  const addTest = root.test.bind(root)
  let results = []
  let teardowns = []
  root.test = (...parameters) => {
    const result = addTest(...parameters)
    results.push(result)
    return result
  }
  root.teardown = (teardown) => teardowns.unshift(teardown)
  for (let file = await nextFile(); file !== null; file = await nextFile()) {
    results = []
    teardowns = []
    root.setTimeout(TIMEOUT_SECONDS * 1000)
    process.stdout.write(`${BEGIN_COMMENT}${file}\n`)
    await import(pathToFileURL(resolve(file))).catch((error) => {
      console.error(error)
      process.exit(1)
    })
    await Promise.all(results)
    for (const teardown of teardowns) await teardown()
    process.send({ memory: process.memoryUsage.rss() })
    process.stdout.write(`${END_COMMENT}${file}\n`) // tap would hold a comment back until the next result
  }
  root.setTimeout(0)
}

/**
 * Disables the asynchronous hooks that tap starts for each test. They assign an uncaught error to its test, and cost
 * a tenth of the CPU time. Without them, an uncaught error ends the process, and test-process.mjs reports its file.
 */
function disableAsyncHooks () {
  const hook = { enable: () => hook, disable: () => hook }
  async_hooks.createHook = () => hook
  syncBuiltinESMExports()
}

if (process.argv[1] === import.meta.filename) await runFiles()
