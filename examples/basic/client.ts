export interface RequestOptions {
  json?: object
  form?: Record<string, string>
  /** A bearer token. */
  token?: string
  /** Adds this jar's cookies, and keeps those of the answer. */
  jar?: Jar
}

export interface Answer {
  status: number
  body: Record<string, unknown>
  cookie: string | null
}

/** Cookies by name: as much of a cookie jar as one site needs. */
export type Jar = Map<string, string>

/** Shows what it does, and keeps what was not as expected. */
export interface Client {
  /** Sends one request; `target` is method and path. */
  send(title: string, target: string, status: number, options?: RequestOptions): Promise<Answer>
  /** Takes one step that is no request. */
  act(title: string, work: () => Promise<unknown>): Promise<void>
  /** States a fact about the last answer. */
  check(fact: string, holds: boolean): void
  readonly steps: number
  readonly differences: readonly string[]
}

/** A client of the application at `origin`, over the network. `write` gets the lines to show. */
export function createClient (origin: string, write: (text: string) => void): Client {
  const differences: string[] = []
  let steps = 0

  function print (line: string): void {
    write(line.replace(/(eyJ[\w-]{12})[\w.-]+/g, '$1…')) // a signed token is long
  }

  function begin (title: string): void {
    steps++
    print(`\n${steps}. ${title}`)
  }

  function check (fact: string, holds: boolean): void {
    print(`   ${holds ? 'ok' : 'DIFFERS'}: ${fact}`)
    if (!holds) differences.push(`step ${steps}: ${fact}`)
  }

  return {
    check,
    differences,
    get steps () {
      return steps
    },

    async act (title, work) {
      begin(title)
      await work()
    },

    async send (title, target, status, { json, form, token, jar } = {}) {
      begin(title)
      const [method = '', path = ''] = target.split(' ')
      const body = json === undefined ? form && formOf(form) : JSON.stringify(json)
      const headers = {
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(jar === undefined || jar.size === 0 ? {} : { cookie: [...jar].map((pair) => pair.join('=')).join('; ') })
      }
      print(`   > ${target}`)
      for (const [name, value] of Object.entries(headers)) print(`   > ${name}: ${value}`)
      if (form !== undefined) print('   > content-type: multipart/form-data')
      if (body !== undefined) print(`   > ${JSON.stringify(json ?? form)}`)

      const reply = await fetch(origin + path, { method, headers, ...(body === undefined ? {} : { body }) })
      const text = await reply.text()
      const cookie = reply.headers.get('set-cookie')
      if (cookie !== null) keep(jar, cookie)
      print(`   < ${reply.status}`)
      if (cookie !== null) print(`   < set-cookie: ${cookie}`)
      if (text !== '') print(`   < ${text}`)
      check(`status ${status}`, reply.status === status)
      return { status: reply.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>), cookie }
    }
  }
}

/** Browsers and `fetch` send it as multipart/form-data. */
function formOf (fields: Record<string, string>): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  return form
}

function keep (jar: Jar | undefined, header: string): void {
  const [pair = ''] = header.split(';')
  const [name = '', value = ''] = pair.split('=')
  if (/max-age=0/i.test(header)) jar?.delete(name)
  else jar?.set(name, value)
}
