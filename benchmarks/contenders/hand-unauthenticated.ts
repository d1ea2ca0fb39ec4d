import { handJwt, newUser } from './support/hand.js'
import { PATH } from './support/reply.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const served = await handJwt(settings, await newUser(), () => undefined)
  return { ...served, requests: [{ method: 'GET', path: PATH }], expect: 401 }
})
