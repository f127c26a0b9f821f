/** `npm run demo:replicas`: three processes on one PostgreSQL, of which one is killed and another is added. */
import { tellStory } from './tell-story.mjs'

tellStory('scripts/demo/replicas-story.ts')
